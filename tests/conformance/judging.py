"""One recorded answer: what it is evidence of, and what is wrong with it."""

import binascii
from xml.etree.ElementTree import ParseError

import msgspec
from botocore.eventstream import ParserError
from botocore.parsers import ResponseParserError

from tests.conformance import aws_answers, sdk_answers
from tests.conformance.aws_answers import Judged
from tests.conformance.operations import RAW, asked, client_of
from tests.conformance.recording import Record
from tests.conformance.rows import Row

UNREADABLE = (
    msgspec.MsgspecError,
    ParseError,
    ParserError,
    ResponseParserError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    binascii.Error,
)
"""What reading an answer raises that isn't even of the outer form."""


def row_of(record: Record) -> tuple[Row, list[str]] | None:
    """What one answer is evidence of, and what is wrong with it; None if for no operation."""
    found = asked(record)
    if found is None:
        return None
    try:
        if found.entry is not None:
            verdict = aws_answers.judged(found.entry, record)
        else:
            verdict = sdk_answers.judged(found, record)
    except UNREADABLE as error:
        verdict = Judged("unreadable", [f"{type(error).__name__}: {error}"])
    row = Row(found.wire, found.operation, client_of(record), verdict.outcome)
    return row, [f"{found.wire} {found.operation}: {fault}" for fault in verdict.breaches]


def is_worth_keeping(row: Row, status: int) -> bool:
    """Whether a row goes into the record.

    What a client gets while a process dies depends on who is faster, and a test that speaks HTTP
    itself is refused in whatever way it wants to be: neither says what clients see.
    """
    is_trouble = status >= 500 and status != 501
    return not is_trouble and (row.client != RAW or row.outcome in ("answered", "streamed"))
