"""HTTP/1.1 on asyncio: the data plane's server, and a pooled client for engines elsewhere.

The server hands whole requests to one `Handler` and gives it an `HttpResponder`; what runs over the
socket underneath is a protocol class, so another HTTP version can drive the same handler.
"""

from craton.http.client import HttpClient, HttpResponse, Target
from craton.http.client_pool import Origin
from craton.http.counters import ClientCounters, ServerCounters
from craton.http.failures import (
    ConnectFailed,
    ConnectTimeout,
    PoolFull,
    ResponseBroken,
    ResponseTimeout,
    ResponseTooLarge,
)
from craton.http.limits import ClientLimits, Replay, ServerLimits, Timeouts
from craton.http.message import (
    Handler,
    Headers,
    HttpRequest,
    HttpResponder,
    Reply,
)
from craton.http.refusal import plain_internal_error, plain_refusal
from craton.http.server import HttpServer

__all__ = [
    "ClientCounters",
    "ClientLimits",
    "ConnectFailed",
    "ConnectTimeout",
    "Handler",
    "Headers",
    "HttpClient",
    "HttpRequest",
    "HttpResponder",
    "HttpResponse",
    "HttpServer",
    "Origin",
    "PoolFull",
    "Replay",
    "Reply",
    "ResponseBroken",
    "ResponseTimeout",
    "ResponseTooLarge",
    "ServerCounters",
    "ServerLimits",
    "Target",
    "Timeouts",
    "plain_internal_error",
    "plain_refusal",
]
