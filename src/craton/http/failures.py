"""What can go wrong with a request that Craton sends, as parts of the one error tree.

Unavailable
└── ConnectFailed      no connection: refused, unreachable, unknown name, bad certificate
EngineTimeout
├── ConnectTimeout     no connection in time
└── ResponseTimeout    headers, the next piece, or the whole took too long
EngineFailed
├── ResponseBroken     the answer was cut, or isn't HTTP
└── ResponseTooLarge   the answer is longer than the caller allows
Throttled
└── PoolFull           too many callers wait for a connection to that origin
"""

from craton.kernel.errors import EngineFailed, EngineTimeout, Throttled, Unavailable


class ConnectFailed(Unavailable):
    """No connection could be made."""


class ConnectTimeout(EngineTimeout):
    """No connection in time; nothing was sent."""


class ResponseTimeout(EngineTimeout):
    """The headers, the next piece or the whole of an answer took longer than allowed."""


class ResponseBroken(EngineFailed):
    """The answer was cut off or isn't HTTP."""


class ResponseTooLarge(EngineFailed):
    """The answer is longer than the caller allows."""


class PoolFull(Throttled):
    """Too many callers wait for a connection to one origin."""
