"""The one error tree: what can go wrong for a caller, independent of any protocol.

Each protocol renders a `Fault` in its own words (`apis/*/errors.py`). An exception that isn't in
this tree is a fault of ours: it becomes a 500 and is counted in `craton_internal_errors_total`.

    CratonError
    ├── BadRequest            the caller's input is malformed or out of range
    │   ├── Unsupported       well formed, but nothing here can serve it; names the member
    │   ├── ContextOverflow   the prompt is longer than the model's context
    │   └── TooLarge          the body is over the limit
    ├── Unauthenticated       no credential, or one that does not check out
    ├── AccessDenied          a good credential without the right
    ├── NotFound              no such thing
    ├── Conflict              a name is taken, or the state forbids it
    ├── NotBuilt              an operation the protocol has and Craton doesn't, yet
    ├── Throttled             a rate limit or a full queue
    ├── BudgetExceeded        a hold would overdraw a budget
    ├── EngineFailed          the engine broke while it worked on this request
    ├── EngineTimeout         the engine took longer than allowed
    ├── EngineNotReady        the engine is loading or restarting
    ├── Unavailable           a part of Craton is down; try again
    └── Internal              our fault
"""

from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """The kinds of failure a caller can meet; one for each leaf of the tree."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    CONTEXT_OVERFLOW = "context_overflow"
    TOO_LARGE = "too_large"
    UNAUTHENTICATED = "unauthenticated"
    ACCESS_DENIED = "access_denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    NOT_BUILT = "not_built"
    THROTTLED = "throttled"
    BUDGET_EXCEEDED = "budget_exceeded"
    ENGINE_FAILED = "engine_failed"
    ENGINE_TIMEOUT = "engine_timeout"
    ENGINE_NOT_READY = "engine_not_ready"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class CratonError(Exception):
    """An error a caller may see. `message` says what, which, and what to do next.

    `code` is an optional, finer name for wires that have one (AWS has `ExpiredTokenException`
    where the tree only has `Unauthenticated`). `retry_after_s` says when trying again can help.
    """

    fault: ClassVar[Fault] = Fault.INTERNAL

    def __init__(
        self, message: str, *, code: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s


class BadRequest(CratonError):
    """The caller's input is malformed or out of range."""

    fault = Fault.BAD_REQUEST


class Unsupported(BadRequest):
    """The input is well formed, but nothing here can serve it; the message names the member."""

    fault = Fault.UNSUPPORTED


class ContextOverflow(BadRequest):
    """The prompt is longer than the model's context."""

    fault = Fault.CONTEXT_OVERFLOW


class TooLarge(BadRequest):
    """The body is over the limit."""

    fault = Fault.TOO_LARGE


class Unauthenticated(CratonError):
    """No credential came, or it doesn't check out."""

    fault = Fault.UNAUTHENTICATED


class AccessDenied(CratonError):
    """The credential is good and lacks the right."""

    fault = Fault.ACCESS_DENIED


class NotFound(CratonError):
    """No such thing."""

    fault = Fault.NOT_FOUND


class Conflict(CratonError):
    """A name is taken, or the present state forbids the change."""

    fault = Fault.CONFLICT


class NotBuilt(CratonError):
    """The protocol has this operation; Craton doesn't, yet."""

    fault = Fault.NOT_BUILT


class Throttled(CratonError):
    """A rate limit or a full queue; trying again later helps."""

    fault = Fault.THROTTLED


class BudgetExceeded(CratonError):
    """A hold would overdraw a budget."""

    fault = Fault.BUDGET_EXCEEDED


class EngineFailed(CratonError):
    """The engine broke while it worked on this request."""

    fault = Fault.ENGINE_FAILED


class EngineTimeout(CratonError):
    """The engine took longer than allowed."""

    fault = Fault.ENGINE_TIMEOUT


class EngineNotReady(CratonError):
    """The engine is loading or restarting."""

    fault = Fault.ENGINE_NOT_READY


class Unavailable(CratonError):
    """A part of Craton is down; trying again helps."""

    fault = Fault.UNAVAILABLE


class Internal(CratonError):
    """Our fault, already known as such."""

    fault = Fault.INTERNAL


def _leaves(cls: type[CratonError]) -> dict[Fault, type[CratonError]]:
    found = {cls.fault: cls}
    for sub in cls.__subclasses__():
        found |= _leaves(sub)
    return found


def raised(
    fault: Fault, message: str, code: str | None = None, retry_after_s: int | None = None
) -> CratonError:
    """Build the error of one fault: how a fault that crossed a process boundary comes back."""
    return _BY_FAULT[fault](message, code=code, retry_after_s=retry_after_s)


_BY_FAULT = _leaves(CratonError) | {Fault.INTERNAL: Internal}
