"""The 0600 file that holds the keys of this machine's user, so that `craton env` can tell them."""

import os
from pathlib import Path

import msgspec

from craton.access.contract import NewKey
from craton.kernel.errors import NotFound


class Credentials(msgspec.Struct, frozen=True):
    """The keys of each account, by the account's name."""

    keys: dict[str, NewKey]
    default: str
    """The account meant when none is named."""


def read_credentials(path: Path) -> Credentials:
    """Read the file; NotFound says how to get one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        raise NotFound(
            f"There is no credentials file {path}. Start Craton with `craton up` first, or name "
            "its data folder with --data."
        ) from None
    except msgspec.MsgspecError as error:
        raise NotFound(f"The credentials file {path} is damaged: {error}.") from None


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Write the file whole, readable by its owner only."""
    new = path.with_suffix(".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, msgspec.json.format(msgspec.json.encode(credentials), indent=2))
        os.fsync(handle)
    finally:
        os.close(handle)
    new.rename(path)
