"""The WebSocket mode of OpenAI's Responses: `GET /v1/responses`, changed to a WebSocket.

One message is answered after the other, in the order they came, whatever their `stream_id` is.
"""

from typing import Protocol

from craton.access.records import Credential
from craton.apis.app import Endpoint
from craton.apis.dialect_wire import DialectWire
from craton.apis.exchange import Exchange
from craton.apis.openai.responses_session import (
    Room,
    Session,
    SocketRequest,
    SocketTurn,
    read_message,
    read_stream_id,
)
from craton.apis.permit import INVOKE
from craton.dialects.openai_responses import CONNECTION_TOO_OLD, SERVER
from craton.http import HttpRequest, HttpResponder
from craton.http.websocket import Ending, WebSocket, WebSocketLimits, open_websocket
from craton.http.websocket_frames import CloseCode
from craton.kernel.errors import BadRequest, CratonError, Unsupported

SOCKET_WIRE = DialectWire("openai_websocket", SERVER, request_id_header=b"x-request-id")
"""A name of its own, so that an hour's connection is no hour's request in the metrics."""


class Open(Protocol):
    """How a request becomes a WebSocket."""

    def __call__(
        self, request: HttpRequest, responder: HttpResponder, *, limits: WebSocketLimits | None
    ) -> WebSocket:
        """Answer the handshake, or refuse it."""
        ...


class ResponseSocket:
    """The endpoint that opens a WebSocket and answers its messages."""

    def __init__(
        self,
        *,
        limits: WebSocketLimits | None = None,
        room: Room | None = None,
        open: Open = open_websocket,
    ) -> None:
        self._limits = limits or WebSocketLimits()
        self._room = room or Room()
        self._open = open
        self.connect = Endpoint(SOCKET_WIRE, self._connect, INVOKE, resource=None)

    async def _connect(self, exchange: Exchange) -> None:
        principal = exchange.principal
        assert principal is not None, "a WebSocket was opened before its caller was known"
        if principal.credential is Credential.SIGNATURE:
            raise Unsupported(
                "A signature is good for one request, and a WebSocket carries many. Open it with "
                "an API key as `Authorization: Bearer …`."
            )
        opening = exchange.request
        websocket = self._open(opening, exchange.responder, limits=self._limits)
        exchange.status = 101
        session = Session(websocket, self._room)
        try:
            while (text := await websocket.receive()) is not None:
                await _answer(session, opening, text)
            _part(websocket, self._limits)
        finally:
            session.forget()
            websocket.close(CloseCode.INTERNAL_ERROR, "the connection broke off; it was logged")


async def _answer(session: Session, opening: HttpRequest, text: bytes) -> None:
    turn = SocketTurn(session, stream_id=read_stream_id(text))
    try:
        message = read_message(text)
    except CratonError as error:
        turn.refuse(error)
        return
    request = SocketRequest(opening, message.body, turn, generates=message.generates)
    await session.websocket.handle(request, turn)
    if turn.is_failed and session.recall(message.previous) is not None:
        # As OpenAI and Open Responses have it: what a failed turn rested on can't be continued
        # here any more, and the client sends its conversation anew.
        session.forget()


def _part(websocket: WebSocket, limits: WebSocketLimits) -> None:
    """Say why no more messages are taken."""
    match websocket.ending:
        case Ending.AGE:
            minutes = f"{limits.lifetime_s / 60:g} minutes"
            error = BadRequest(
                f"This connection is {minutes} old, and none may get older. Open a new one; "
                "responses that were not stored can't be continued there.",
                code=CONNECTION_TOO_OLD,
            )
            SocketTurn(Session(websocket, Room(0)), stream_id=None).refuse(error)
            websocket.close(CloseCode.NORMAL, f"open for {minutes}")
        case Ending.SERVER:
            websocket.close(CloseCode.GOING_AWAY, "the server closes; open a new connection")
        case Ending.CLIENT | None:
            pass
