"""HTTP on asyncio: the data plane's server (HTTP/1.1 and HTTP/2), and a pooled HTTP/1.1 client.

The server hands whole requests to one `Handler` and gives it an `HttpResponder`; which version of
HTTP runs over the socket underneath no handler knows.
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
from craton.http.tls import ServerTls

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
    "ServerTls",
    "Target",
    "Timeouts",
    "plain_internal_error",
    "plain_refusal",
]
