"""What `craton up` does for TLS: finds or makes the certificate, and keeps it from expiring."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NoReturn

import msgspec

from craton.bootstrap.certificates import LocalAuthority, names_of, read_certificate
from craton.bootstrap.settings import Settings
from craton.http import ServerTls
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest
from craton.kernel.log import Log

RENEW_INTERVAL_S = 12 * 3600
REFRESH_INTERVAL_S = 60
"""How long after a certificate's file has changed workers still use the old one, at most."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


class Trust(msgspec.Struct, frozen=True):
    """How this machine's commands and programs know this Craton; paths, or empty."""

    authority: str = ""
    """The local authority's certificate."""
    bundle: str = ""
    """The same with the system's authorities."""
    certificate: str = ""
    """The certificate that was given, which Craton's own commands take and no other."""
    name: str = ""
    """A name that this certificate is for, if it isn't for the address."""


def prepare(settings: Settings, *, reachable: str, clock: Clock, machine: str) -> Trust:
    """Make the local certificate, or check the given one; BadRequest says what is wrong.

    `reachable` is the address by which this machine reaches the server, `machine` its own name.
    """
    if settings.tls_certificate is not None:
        ServerTls(settings.tls_certificate, settings.tls_key)
        certificate = read_certificate(settings.tls_certificate)
        if certificate.not_valid_after_utc <= _now(clock):
            raise BadRequest(
                f"The TLS certificate {settings.tls_certificate} expired at "
                f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC. Renew it."
            )
        names = names_of(certificate)
        whole = [name for name in names if not name.startswith("*") and not _is_address(name)]
        is_covered = reachable in names or not whole
        path = str(settings.tls_certificate.resolve())
        return Trust(certificate=path, name="" if is_covered else whole[0])
    authority = LocalAuthority(settings.tls_folder)
    authority.ensure(_names(settings, machine), _now(clock))
    return Trust(authority=str(authority.certificate), bundle=str(authority.bundle))


async def keep_renewed(settings: Settings, *, clock: Clock, log: Log, machine: str) -> NoReturn:
    """Renew the local certificate before it expires; workers see the file change."""
    authority = LocalAuthority(settings.tls_folder)
    while True:
        await asyncio.sleep(RENEW_INTERVAL_S)
        if await asyncio.to_thread(authority.ensure, _names(settings, machine), _now(clock)):
            log.info("certificate_renewed", file=str(authority.server))


async def keep_read(tls: ServerTls, log: Log) -> NoReturn:
    """In a worker: use a certificate that was renewed, ours or the operator's."""
    while True:
        await asyncio.sleep(REFRESH_INTERVAL_S)
        try:
            if tls.refresh():
                log.info("certificate_read")
        except BadRequest as error:
            log.warning("certificate_unusable", error=error.message)


def server_tls(settings: Settings) -> ServerTls | None:
    """What a worker serves with; None without TLS."""
    if settings.tls_certificate is not None:
        return ServerTls(settings.tls_certificate, settings.tls_key)
    return ServerTls(LocalAuthority(settings.tls_folder).server) if settings.is_secured else None


def _names(settings: Settings, machine: str) -> Sequence[str]:
    own = machine if settings.host in WILDCARDS else settings.host
    return list(dict.fromkeys([*LOOPBACK, own]))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _now(clock: Clock) -> dt.datetime:
    return dt.datetime.fromtimestamp(clock.now_ns() / 1e9, tz=dt.UTC)
