"""Formats of strings that decoding can be held to, as patterns.

The specification lets a format be a mere annotation, and what isn't listed here is one. Those that
are listed are narrower than their definitions, so that every checker accepts what is written: days
exist in every year, times are of UTC or have a whole offset, addresses are plain ASCII.
"""

_DATE = (
    r"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-2]):[03]0)"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"

_NAME = rf"(?:{_LABEL}\.){{1,3}}[a-z]{{2,12}}"
_LOCAL = r"[A-Za-z0-9](?:[A-Za-z0-9_+-]|\.[A-Za-z0-9]){0,40}"

FORMATS = {
    "date": rf"^{_DATE}$",
    "time": rf"^{_TIME}$",
    "date-time": rf"^{_DATE}T{_TIME}$",
    "duration": r"^P(?:\d{1,4}W|\d{1,4}D(?:T\d{1,4}H)?|T\d{1,4}(?:H(?:\d{1,4}M)?|M|S))$",
    "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    "ipv4": rf"^(?:{_BYTE}\.){{3}}{_BYTE}$",
    "email": rf"^{_LOCAL}@{_NAME}$",
    "hostname": rf"^(?:{_LABEL}\.){{0,3}}{_LABEL}$",
    "uri": rf"^https?://{_NAME}(?:/[A-Za-z0-9._~-]*)*(?:\?[A-Za-z0-9._~=&-]*)?$",
}
"""By name: RFC 3339 dates, times and durations, RFC 9562 UUIDs, RFC 2673 IPv4, RFC 5321 addresses,
RFC 1123 host names, RFC 3986 addresses of the web."""
