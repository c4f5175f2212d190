"""A credential by reference: the file that holds it is named in the catalogue, its text never is.

A file holds either one line, an API key, or AWS credentials in the form of `~/.aws/credentials`.
"""

import configparser
from dataclasses import dataclass, field
from pathlib import Path

from craton.kernel.errors import BadRequest

_INI_SECTION = "["


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """A key that is sent as it is."""

    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwsKeyPair:
    """What requests are signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


Credential = ApiKeyText | AwsKeyPair


def read_credential(path: str, name: str) -> Credential:
    """Read a credential file; BadRequest names the model, the path and what is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadRequest(
            f"The credential file of {name} can't be read: {reason}. Mend the path with "
            "`craton models`."
        ) from None
    if text.startswith(_INI_SECTION):
        return _key_pair(text, path, name)
    if not text or "\n" in text or not text.isascii():
        raise BadRequest(
            f"The credential file of {name}, {path}, must hold one line with the key, or AWS "
            "credentials that begin with [default]."
        )
    return ApiKeyText(text.encode())


def _key_pair(text: str, path: str, name: str) -> AwsKeyPair:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        profile = parser[parser.sections()[0]]
        return AwsKeyPair(
            profile["aws_access_key_id"],
            profile["aws_secret_access_key"],
            profile.get("aws_session_token"),
        )
    except (configparser.Error, KeyError):
        # The error's own text may quote the file, so it isn't told.
        raise BadRequest(
            f"The credential file of {name}, {path}, must have aws_access_key_id and "
            "aws_secret_access_key in its first section."
        ) from None
