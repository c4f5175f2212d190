"""The values that conditions compare: numbers, moments, addresses, truth and bytes.

Each reader returns None for a text that is no such value.
"""

import base64
import binascii
import ipaddress
import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from functools import lru_cache

Number = int | Fraction

_NUMBER = re.compile(r"([+-]?)([0-9]{1,30})(?:\.([0-9]{1,30}))?")
_EPOCH = re.compile(r"[0-9]{5,14}(?:\.[0-9]{1,9})?")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2}))?)?"
)


@lru_cache(maxsize=4096)
def number(text: str) -> Number | None:
    """An integer or a decimal fraction, exactly."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    if match[3] is None:
        return int(match[1] + match[2])
    return Fraction(f"{match[1]}{match[2]}.{match[3]}")


@lru_cache(maxsize=4096)
def moment(text: str) -> Number | None:
    """Seconds since the epoch, of ISO 8601 in W3C's profile or of the seconds themselves.

    Four digits alone could be either a year or seconds, so they are neither.
    """
    if _EPOCH.fullmatch(text):
        return number(text)
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        whole = datetime(
            int(year), int(month), int(day or 1), int(hour or 0), int(minute or 0),
            int(second or 0), tzinfo=_zone(zone),
        )  # fmt: skip
    except ValueError:
        return None
    seconds = int((whole - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1))
    return seconds + Fraction("0" + fraction) if fraction else seconds


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


class Network:
    """A range of addresses. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`) counts as IPv4."""

    __slots__ = ("_first", "_mask", "_version")

    def __init__(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        self._version = network.version
        self._first = int(network.network_address)
        self._mask = int(network.netmask)

    def holds(self, address: tuple[int, int]) -> bool:
        """Whether an address (version and number) lies in it."""
        version, value = address
        return version == self._version and value & self._mask == self._first


def network(text: str) -> Network | None:
    """An address or a CIDR range, such as `10.0.0.0/8` or `2001:db8::/32`."""
    try:
        return Network(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def address(text: str) -> tuple[int, int] | None:
    """An address as its version and number."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.version, int(found)


def boolean(text: str) -> bool | None:
    """`true` or `false`, in upper or lower case."""
    return {"true": True, "false": False}.get(text.lower())


def binary(text: str) -> bytes | None:
    """The bytes of a base64 text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
