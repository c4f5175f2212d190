"""The cases of the Open Responses compliance suite, by their ids there, told anew in Python.

Source of what is asked and expected: https://github.com/openresponses/openresponses, the tests
behind `bun run test:compliance`, with WebSocket and compaction. Its documents are checked against
schemas; here they are checked against the types of OpenAI's own library, made strict, and the list
of members that Open Responses requires (its `ResponseResource`).

One more case there, `response-output-phase-schema`, checks a fixture of the suite's own and asks no
server anything; `tool-calling-streaming` stands in an earlier version of it.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pydantic
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.responses_server_event import ResponseWsError

from tests.fakes.websocket_client import WebSocketClient

Json = dict[str, Any]

REQUIRED = (
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
)

NOT_BUILT = {
    "compact-response": "compaction",
    "websocket-compact-new-chain": "compaction",
}
"""Cases that must fail, and only by being refused as not built; with what they ask for."""

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "City and state"}},
        "required": ["location"],
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQ"
    "GAhKmMIQAAAABJRU5ErkJggg=="
)

_EVENTS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)


class FailedError(Exception):
    """A case isn't as it should be."""


class NotBuiltError(FailedError):
    """The server said that it hasn't built this."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server under test."""

    base_url: str
    api_key: str
    model: str

    def post(self, path: str, body: Json) -> tuple[int, bytes]:
        """Status and body of a POST."""
        request = urllib.request.Request(
            self.base_url + path,
            json.dumps(body).encode(),
            {"authorization": f"Bearer {self.api_key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def respond(self, **body: Any) -> Json:
        """A whole response, checked."""
        status, answer = self.post("/responses", {"model": self.model, **body})
        expect(status == 200, f"HTTP {status}: {answer.decode()}")
        return checked(json.loads(answer))

    def stream(self, **body: Any) -> list[Json]:
        """The events of a streamed response, checked."""
        sent = {"model": self.model, **body, "stream": True}
        status, answer = self.post("/responses", sent)
        expect(status == 200, f"HTTP {status}: {answer.decode()}")
        frames = [frame for frame in answer.decode().split("\n\n") if frame]
        expect(frames[-1] == "data: [DONE]", "the stream has no [DONE]")
        return checked_events([json.loads(f.partition("data: ")[2]) for f in frames[:-1]])

    def connect(self) -> WebSocketClient:
        """A WebSocket."""
        return WebSocketClient(
            self.base_url + "/responses", {"authorization": f"Bearer {self.api_key}"}
        )

    def turn(self, socket: WebSocketClient, **body: Any) -> list[Json]:
        """One turn over a WebSocket; its events, checked."""
        return checked_events(socket.create(model=self.model, **body))

    def compact(self, **body: Any) -> Json:
        """A compacted conversation."""
        status, answer = self.post("/responses/compact", body)
        told = answer.decode()
        if status == 404 and '"code":"not_built"' in told:
            raise NotBuiltError(told)
        expect(status == 200, f"HTTP {status}: {told}")
        compacted: Json = json.loads(answer)
        return compacted


def expect(condition: object, otherwise: str) -> None:
    """Fail with these words where it isn't so."""
    if not condition:
        raise FailedError(otherwise)


def checked(document: Json) -> Json:
    """A response's document, if it is one."""
    missing = [name for name in REQUIRED if name not in document]
    expect(not missing, f"the response lacks {', '.join(missing)}")
    try:
        Response.model_validate(document, strict=True)
    except pydantic.ValidationError as error:
        raise FailedError(f"the response is none: {error}") from None
    return document


def checked_events(events: list[Json]) -> list[Json]:
    """The events of one answer, if each is one, and they are numbered from 0."""
    for event in events:
        try:
            if event["type"] == "error":
                ResponseWsError.model_validate(event, strict=True)
                expect(isinstance(event["status"], int), "an error has no status")
                return events
            _EVENTS.validate_python(event, strict=True)
        except pydantic.ValidationError as error:
            raise FailedError(f"{event['type']} is no event: {error}") from None
    numbers = [event["sequence_number"] for event in events]
    expect(numbers == list(range(len(events))), "the events are not numbered in order")
    checked(events[-1]["response"])
    return events


def completed(document: Json) -> Json:
    """The response, if it has an output and is complete."""
    expect(document["output"], "the response has no output")
    expect(document["status"] == "completed", f"its status is {document['status']}")
    return document


def ended(events: list[Json]) -> Json:
    """What the events end with, if that is a complete response."""
    expect("response" in events[-1], f"it ended with {events[-1]}")
    return completed(events[-1]["response"])


def calls(document: Json) -> Json:
    """The response, if it has a function call."""
    kinds = [item["type"] for item in document["output"]]
    expect("function_call" in kinds, f"there is no function_call among {kinds}")
    return document


def refused(events: list[Json], code: str) -> None:
    """Expect an error of this code."""
    event = events[-1]
    error = event.get("error") or event.get("response", {}).get("error") or {}
    expect(error.get("code") == code, f"expected {code}, and it ended with {event}")


def user(text: str) -> Json:
    """A message."""
    return {"type": "message", "role": "user", "content": text}


def basic(server: Server) -> None:
    completed(server.respond(input=[user("Say hello in exactly 3 words.")]))


def phases(server: Server) -> None:
    said = {"type": "message", "role": "assistant"}
    thinking = {**said, "phase": "commentary", "content": "I should give the saved number."}
    final = {**said, "phase": "final_answer", "content": "The number is four."}
    completed(server.respond(input=[thinking, final, user("Repeat only the number.")]))


def streaming(server: Server) -> None:
    ended(server.stream(input=[user("Count from 1 to 5.")]))


def system_prompt(server: Server) -> None:
    system = {"type": "message", "role": "system", "content": "You are a pirate."}
    completed(server.respond(input=[system, user("Say hello.")]))


def tool_calling(server: Server) -> None:
    calls(server.respond(input=[user("What's the weather in San Francisco?")], tools=[WEATHER]))


def tool_calling_streamed(server: Server) -> None:
    events = server.stream(input=[user("What's the weather?")], tools=[WEATHER])
    calls(events[-1]["response"])
    kinds = [event["type"] for event in events]
    for kind in ("delta", "done"):
        name = f"response.function_call_arguments.{kind}"
        expect(name in kinds, f"there is no {name}")


def image(server: Server) -> None:
    content = [
        {"type": "input_text", "text": "What do you see?"},
        {"type": "input_image", "image_url": PIXEL},
    ]
    completed(server.respond(input=[{"type": "message", "role": "user", "content": content}]))


def multi_turn(server: Server) -> None:
    before = {"type": "message", "role": "assistant", "content": "Hello Alice!"}
    items = [user("My name is Alice."), before, user("What is my name?")]
    completed(server.respond(input=items))


def websocket(server: Server) -> None:
    with server.connect() as socket:
        ended(server.turn(socket, input=[user("Count from 1 to 3.")]))


def websocket_sequential(server: Server) -> None:
    with server.connect() as socket:
        for word in ("first", "second"):
            ended(server.turn(socket, store=False, input=f"Reply with exactly: {word}"))


def websocket_continuation(server: Server) -> None:
    with server.connect() as socket:
        first = ended(server.turn(socket, store=False, input="Remember: cobalt."))
        ended(server.turn(socket, store=False, previous_response_id=first["id"], input="Which?"))


def websocket_reconnect(server: Server) -> None:
    with server.connect() as socket:
        first = ended(server.turn(socket, store=False, input="Remember: copper."))
    with server.connect() as socket:
        again = server.turn(socket, store=False, previous_response_id=first["id"], input="Which?")
        refused(again, "previous_response_not_found")
        ended(server.turn(socket, store=False, input=[user("Start anew.")]))


def websocket_not_found(server: Server) -> None:
    with server.connect() as socket:
        events = server.turn(
            socket, store=False, previous_response_id="resp_open_responses_missing", input="x"
        )
        refused(events, "previous_response_not_found")


def websocket_evicts(server: Server) -> None:
    orphan = {"type": "function_call_output", "call_id": "call_missing", "output": "x"}
    with server.connect() as socket:
        first = ended(server.turn(socket, store=False, input="Remember: ember."))
        resting = {"store": False, "previous_response_id": first["id"]}
        failed = server.turn(socket, input=[orphan], **resting)[-1]
        expect(failed["type"] in ("error", "response.failed"), f"it ended with {failed}")
        refused(server.turn(socket, input="x", **resting), "previous_response_not_found")


def compact(server: Server) -> None:
    said = {"type": "message", "role": "assistant", "content": "Understood: Tuesday."}
    compacted = server.compact(
        model=server.model, prompt_cache_key="k", input=[user("We launch on Tuesday."), said]
    )
    expect(compacted["object"] == "response.compaction", "it is no compaction")
    kinds = [item["type"] for item in compacted["output"]]
    expect("compaction" in kinds, f"there is no compaction among {kinds}")


def compact_without_model(server: Server) -> None:
    status, answer = server.post("/responses/compact", {"input": [user("Compact this.")]})
    expect(status in (400, 422), f"HTTP {status}: {answer.decode()}")


def websocket_compact(server: Server) -> None:
    compacted = server.compact(model=server.model, input=[user("Remember: slate.")])
    with server.connect() as socket:
        items = [*compacted["output"], user("Continue from here.")]
        ended(server.turn(socket, store=False, input=items, tools=[]))


CASES: dict[str, Callable[[Server], None]] = {
    "basic-response": basic,
    "assistant-phase": phases,
    "streaming-response": streaming,
    "system-prompt": system_prompt,
    "tool-calling": tool_calling,
    "tool-calling-streaming": tool_calling_streamed,
    "image-input": image,
    "multi-turn": multi_turn,
    "websocket-response": websocket,
    "websocket-sequential-responses": websocket_sequential,
    "websocket-continuation": websocket_continuation,
    "websocket-reconnect-store-false-recovery": websocket_reconnect,
    "websocket-previous-response-not-found": websocket_not_found,
    "websocket-failed-continuation-evicts-cache": websocket_evicts,
    "websocket-compact-new-chain": websocket_compact,
    "compact-response": compact,
    "compact-missing-model": compact_without_model,
}
