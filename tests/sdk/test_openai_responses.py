"""OpenAI's Responses with the OpenAI SDK, unchanged, against a running Craton."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from tests.fakes.craton import ECHO, SMOL, Craton

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["/v1", "/openai/v1"])
def client(request: pytest.FixtureRequest, echo: Craton) -> Iterator[openai.OpenAI]:
    with connect(echo, path=request.param) as connected:
        yield connected


@pytest.fixture(scope="module")
def stranger(echo: Craton) -> Iterator[openai.OpenAI]:
    """A key of another account."""
    operator = Connection(echo.url, echo.keys.api_key, timeout_s=30)
    account = operator.post("/accounts", Json, {"name": "strangers"})
    key = operator.post("/keys", NewKey, {"name": "s", "account": account["id"]})
    assert key.api_key is not None
    with connect(echo, key=key.api_key) as connected:
        yield connected


def connect(craton: Craton, *, path: str = "/v1", key: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=craton.url + path, api_key=key or craton.keys.api_key, max_retries=0
    )


def ask(client: openai.OpenAI, text: str = "one two three", **settings: Any) -> Response:
    return client.responses.create(model=ECHO, input=text, **settings)


def test_an_answer_can_be_read_as_soon_as_it_came(client: openai.OpenAI) -> None:
    answer = ask(client)
    assert (answer.output_text, answer.status, answer.store) == ("one two three", "completed", True)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 3)
    assert client.responses.retrieve(answer.id) == answer


def test_a_streamed_answer_can_be_read_as_well(client: openai.OpenAI) -> None:
    with client.responses.stream(model=ECHO, input="one two") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == 2
    read = client.responses.retrieve(final.id)
    assert (read.output_text, read.usage) == ("one two", final.usage)


def test_a_conversation_is_continued_by_its_id(client: openai.OpenAI) -> None:
    first = ask(client, "one two three", instructions="Echo it.")
    second = ask(client, "four", previous_response_id=first.id)
    third = ask(client, "five six", previous_response_id=second.id, stream=False)
    assert third.output_text == "five six"
    assert third.previous_response_id == second.id
    assert third.usage is not None
    # All that was said before counts; the instructions of the first request don't carry over.
    assert third.usage.input_tokens == 3 + 3 + 1 + 1 + 2


def test_items_are_referred_to_by_their_ids(client: openai.OpenAI) -> None:
    first = ask(client, "one two three")
    (given,) = client.responses.input_items.list(first.id)
    (message,) = first.output
    assert message.type == "message"
    second = client.responses.create(
        model=ECHO,
        input=[
            {"type": "item_reference", "id": given.id or ""},
            {"type": "item_reference", "id": message.id},
            {"role": "user", "content": "four"},
        ],
    )
    assert second.usage is not None
    assert second.usage.input_tokens == 7
    # What was referred to is kept with the request that did, so it outlives where it came from.
    client.responses.delete(first.id)
    third = ask(client, "five", previous_response_id=second.id)
    assert third.usage is not None
    assert third.usage.input_tokens == 7 + 1 + 1


def test_what_is_deleted_or_was_never_kept_is_not_found(client: openai.OpenAI) -> None:
    kept, passing = ask(client), ask(client, store=False)
    assert passing.store is False
    client.responses.delete(kept.id)
    for id in (kept.id, passing.id, "resp_1"):
        with pytest.raises(openai.NotFoundError, match="not found"):
            client.responses.retrieve(id)
        with pytest.raises(openai.NotFoundError, match="not found"):
            client.responses.delete(id)
        with pytest.raises(openai.BadRequestError, match="not found") as refused:
            ask(client, previous_response_id=id)
        assert refused.value.code == "previous_response_not_found"


def test_no_account_sees_anothers(client: openai.OpenAI, stranger: openai.OpenAI) -> None:
    mine = ask(client)
    (item,) = mine.output
    for attempt in (
        lambda: stranger.responses.retrieve(mine.id),
        lambda: stranger.responses.delete(mine.id),
        lambda: stranger.responses.input_items.list(mine.id),
        lambda: stranger.responses.cancel(mine.id),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    with pytest.raises(openai.BadRequestError, match="not found"):
        ask(stranger, previous_response_id=mine.id)
    with pytest.raises(openai.BadRequestError, match="no item"):
        stranger.responses.create(
            model=ECHO, input=[{"type": "item_reference", "id": item.id or ""}]
        )
    assert client.responses.retrieve(mine.id) == mine


def test_the_input_is_listed_in_pages(client: openai.OpenAI) -> None:
    said = ["one", "two", "three", "four", "five"]
    answer = client.responses.create(
        model=ECHO, input=[{"role": "user", "content": text} for text in said]
    )

    def texts(**paging: Any) -> list[str]:
        items = client.responses.input_items.list(answer.id, **paging)
        return [part.text for item in items for part in item.content]  # type: ignore[union-attr]

    assert texts(order="asc") == said
    assert texts() == said[::-1]
    assert texts(order="asc", limit=2) == said  # the SDK asks for the pages that follow
    page = client.responses.input_items.list(answer.id, order="asc", limit=2)
    assert ([item.id for item in page.data][-1], page.has_more) == (page.last_id, True)
    with pytest.raises(openai.BadRequestError, match="limit"):
        client.responses.input_items.list(answer.id, limit=1000)
    with pytest.raises(openai.BadRequestError, match="after"):
        client.responses.input_items.list(answer.id, after="msg_nobody")


def test_tokens_of_the_input_are_counted_before(client: openai.OpenAI) -> None:
    first = ask(client, "one two")
    counted = client.responses.input_tokens.count(
        model=ECHO, input="three", previous_response_id=first.id, instructions="be brief"
    )
    assert counted.input_tokens == 2 + 2 + 1 + 2


def test_what_is_not_built_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="background"):
        ask(client, background=True)
    with pytest.raises(openai.BadRequestError, match="web_search"):
        ask(client, tools=[{"type": "web_search"}])
    with pytest.raises(openai.BadRequestError, match="background responses"):
        client.responses.cancel(ask(client).id)
    with pytest.raises(openai.NotFoundError, match="not built"):
        client.responses.compact(model=ECHO, input="x")
    with pytest.raises(openai.NotFoundError, match="not built"):
        client.conversations.create()
    with pytest.raises(openai.NotFoundError, match="nope"):
        client.responses.create(model="nope", input="x")


def test_an_answer_cut_off_is_incomplete(client: openai.OpenAI) -> None:
    answer = ask(client, "one two three", max_output_tokens=2)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert client.responses.retrieve(answer.id) == answer


def test_an_input_too_long_to_keep_is_refused_or_told(client: openai.OpenAI) -> None:
    long = "word " * 900_000
    with pytest.raises(openai.BadRequestError, match="store"):
        ask(client, long, store=True)
    with pytest.raises(openai.BadRequestError, match="takes"):  # over the model's context
        ask(client, long)


def test_what_is_kept_is_read_by_every_worker_and_survives_a_kill(tmp_path: Path) -> None:
    first = Craton(tmp_path, engine="echo", workers=2)
    with connect(first) as client:
        answers = [ask(client, f"answer {n}") for n in range(4)]
        for answer in answers:
            for _ in range(4):  # each on whichever worker takes the connection
                path = f"/v1/responses/{answer.id}"
                status, body = first.get(path, authorization=f"Bearer {first.keys.api_key}")
                assert status == 200
                assert Response.model_validate_json(body) == answer
    first.process.kill()  # its processes end with it, wherever they are
    first.close()
    again = Craton(tmp_path, engine="echo")
    with connect(again) as client:
        assert [client.responses.retrieve(a.id) for a in answers] == answers
    assert again.metric("craton_internal_errors_total") == 0
    assert again.close() == 0


def test_the_embedded_model_answers(smol: Craton) -> None:
    with connect(smol) as client:
        answer = client.responses.create(
            model=SMOL,
            instructions="Be brief.",
            input="What is the capital of France?",
            max_output_tokens=24,
            temperature=0,
        )
        assert "Paris" in answer.output_text
        assert client.responses.retrieve(answer.id) == answer
