"""Types of columns that are not the same on each database."""

from sqlalchemy import String
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.types import TypeEngine


def string(length: int) -> TypeEngine[str]:
    """Text that is compared byte by byte; PostgreSQL would compare by the database's language."""
    return String(length).with_variant(TEXT(collation="C"), "postgresql")
