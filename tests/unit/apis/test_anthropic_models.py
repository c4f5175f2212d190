"""Anthropic's list of models, page by page, and where it is found."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from craton.apis.anthropic.endpoints import AnthropicFinder, anthropic_endpoints, heeded
from craton.apis.exchange import Exchange
from craton.http import Headers, HttpRequest
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BadRequest
from craton.messages import Request
from craton.models.card import EchoSource, ModelCard, RemoteSource, RemoteWire, Source
from craton.models.router import Router
from craton.store.kind import Change
from tests.fakes.turns import FakeResponder, ScriptedEngine

IDS = [f"lab.model-{number}" for number in range(5)]


def services() -> Any:
    router = Router(lambda _: ScriptedEngine([]), lambda _: None)
    for id in IDS:
        card = ModelCard(id, id, "Lab", EchoSource(), 1000, 100)
        router.apply(Change("model", id, msgspec.json.encode(card)))
    return SimpleNamespace(router=router, inference=None)


def request(method: str, path: str, query: str = "", *, header: bool = False) -> HttpRequest:
    headers = Headers([(b"anthropic-version", b"2023-06-01")] if header else [])
    return HttpRequest(method, path.encode(), query.encode(), headers, b"", "127.0.0.1")


async def page(query: str) -> tuple[list[str], bool]:
    asked = request("GET", "/anthropic/v1/models", query)
    endpoint = AnthropicFinder(services())(asked)
    assert endpoint is not None
    responder = FakeResponder()
    clock = ManualClock()
    exchange = Exchange(asked, responder, "r", clock.monotonic_ns(), endpoint.wire)  # type: ignore[arg-type]
    await endpoint.run(exchange)
    told = msgspec.json.decode(responder.body)
    ids = [entry["id"] for entry in told["data"]]
    assert (told["first_id"], told["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, told["has_more"]


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ("", IDS, False),
        ("limit=2", IDS[:2], True),
        ("limit=5", IDS, False),
        ("limit=2&after_id=lab.model-1", IDS[2:4], True),
        ("limit=2&after_id=lab.model-2", IDS[3:], False),
        ("after_id=lab.model-4", [], False),
        ("limit=2&before_id=lab.model-3", IDS[1:3], True),
        ("limit=3&before_id=lab.model-3", IDS[:3], False),
    ],
)
async def test_a_page_is_what_was_asked_for(query: str, ids: list[str], has_more: bool) -> None:
    assert await page(query) == (ids, has_more)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after_id=nobody", "after_id"),
        ("after_id=lab.model-1&before_id=lab.model-1", "after_id"),
    ],
)
async def test_a_page_nobody_could_give_is_refused(query: str, name: str) -> None:
    with pytest.raises(BadRequest, match=f"`{name}`"):
        await page(query)


def test_under_its_own_prefix_no_header_tells_it_apart() -> None:
    find = AnthropicFinder(services())
    shared = request("GET", "/v1/models")
    assert find(shared) is None
    with_header = find(request("GET", "/v1/models", header=True))
    assert with_header is find(request("GET", "/anthropic/v1/models"))
    one = find(request("GET", "/v1/models/a", header=True))
    assert one is find(request("GET", "/anthropic/v1/models/a"))
    assert find(request("GET", "/anthropic/v1/nothing")) is not None
    assert find(request("GET", "/anthropic/nothing")) is not None
    exact = anthropic_endpoints(services())
    for path in (b"/v1/messages", b"/v1/messages/count_tokens"):
        assert exact["POST", path] is exact["POST", b"/anthropic" + path]


def test_keeping_all_thinking_asks_nothing_of_an_engine_that_knows_no_such_thing() -> None:
    def card(source: Source) -> ModelCard:
        return ModelCard("lab.m", "m", "Lab", source, 1000, 100)

    def asking(edits: Any, **more: Any) -> Request:
        rides = {"context_management": {"edits": edits}, **more}
        return Request(model="m", messages=[], extra={"anthropic": rides})

    kept = asking([{"type": "clear_thinking_20251015", "keep": "all"}])
    assert heeded(kept, card(EchoSource())).extra is None
    left = heeded(asking([], speed="fast"), card(EchoSource()))
    assert left.extra == {"anthropic": {"speed": "fast"}}
    cleared = asking([{"type": "clear_tool_uses_20250919"}])
    assert heeded(cleared, card(EchoSource())) is cleared
    upstream = RemoteSource("https://a", "m", wire=RemoteWire.ANTHROPIC)
    assert heeded(kept, card(upstream)) is kept
