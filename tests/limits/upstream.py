"""An OpenAI-compatible server that ignores `max_tokens`: the worst a remote engine may do."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec


class Upstream:
    """Answers every request alike, with a usage of its own choice."""

    def __init__(self, *, output_tokens: int, input_tokens: int = 5) -> None:
        usage = {
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }
        head = {"id": "far-1", "created": 1, "model": "far"}
        message = {"role": "assistant", "content": "much"}
        self._whole = msgspec.json.encode(
            {
                **head,
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )
        chunk = {**head, "object": "chat.completion.chunk"}
        frames = [
            {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {**chunk, "choices": [], "usage": usage},
        ]
        events = [b"data: " + msgspec.json.encode(frame) + b"\n\n" for frame in frames]
        self._streamed = b"".join(events) + b"data: [DONE]\n\n"
        self.asked = 0

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        """Serve; gives the origin."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").lower().split("\r\n")
                (length,) = (x.partition(":")[2] for x in lines if x.startswith("content-length:"))
                request = msgspec.json.decode(await reader.readexactly(int(length)))
                self.asked += 1
                streamed = request.get("stream", False)
                body = self._streamed if streamed else self._whole
                kind = "text/event-stream" if streamed else "application/json"
                writer.write(
                    f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}"
                    "\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, as it may
        finally:
            writer.close()
