"""The 0600 file that holds the keys of this machine's user, so that `craton env` can tell them."""

from pathlib import Path

import msgspec

from craton.access.contract import NewKey
from craton.kernel.errors import NotFound
from craton.kernel.files import write_private


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
    write_private(path, msgspec.json.format(msgspec.json.encode(credentials), indent=2))
