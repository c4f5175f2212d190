"""What a data folder tells of its Craton: where it listens, and this user's keys."""

import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from craton.access.contract import NewKey
from craton.access.credentials import Credentials, read_credentials
from craton.kernel.errors import AccessDenied, NotFound

CREDENTIALS_FILE = "credentials.json"
ENDPOINT_FILE = "endpoint.json"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Trust(msgspec.Struct, frozen=True):
    """How a Craton that serves over TLS is known: paths of PEM files, or empty."""

    authority: str = ""
    """The local authority's certificate."""
    bundle: str = ""
    """The same with the system's authorities, for programs that trust one file only."""
    certificate: str = ""
    """The certificate that the operator gave."""
    name: str = ""
    """A name that it is for, if it isn't for the address."""


class EndpointFile(msgspec.Struct, frozen=True):
    """Where the Craton of a data folder listens, or last did; written by `craton up`."""

    url: str
    pid: int
    region: str
    trust: Trust | None = None

    @property
    def public_url(self) -> str:
        """Where programs find it: by the name that its certificate is for, if that is another."""
        if self.trust is None or not self.trust.name:
            return self.url
        return f"https://{self.trust.name}:{urlsplit(self.url).port}"


@dataclass(frozen=True, slots=True)
class Installation:
    """A data folder that was started at least once."""

    data: Path
    endpoint: EndpointFile
    credentials: Credentials

    def key(self, account: str | None = None) -> NewKey:
        """The keys of an account of the credentials file, by the account's name or id."""
        wanted = account or self.credentials.default
        for name, key in self.credentials.keys.items():
            if wanted in (name, key.account):
                return key
        names = ", ".join(sorted(self.credentials.keys))
        raise NotFound(
            f"The credentials file {self.data / CREDENTIALS_FILE} has no account {wanted!r}. It "
            f"has: {names}. `craton accounts create` makes an account and adds its keys."
        )


def read_installation(data: Path) -> Installation:
    """Read a data folder; NotFound or AccessDenied says what to do."""
    credentials = data / CREDENTIALS_FILE
    if credentials.exists():
        check_private(credentials)
    found = read_credentials(credentials)
    return Installation(data, read_endpoint(data), found)


def read_endpoint(data: Path) -> EndpointFile:
    """Where the Craton of a data folder listens."""
    path = data / ENDPOINT_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=EndpointFile)
    except FileNotFoundError:
        raise NotFound(
            f"There is no {path}, which tells where Craton listens. Start it with "
            f"`craton up --data {data}`, or name its data folder with --data."
        ) from None
    except msgspec.MsgspecError as error:
        raise NotFound(
            f"{path} is damaged: {error}. Start Craton again; it writes the file anew."
        ) from None


def check_private(path: Path) -> None:
    """AccessDenied if others than its owner may read a file of secrets."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & OTHERS:
        raise AccessDenied(
            f"{path} holds secrets and can be read by others (mode {mode:04o}). Run "
            f"`chmod 600 {path}`, and make new keys if somebody may have read it."
        )
