"""Which format a body is in, and what each format's own corners mean."""

import json
import math
from typing import Any

import msgspec
import pytest

from craton.dialects import cohere, llama, nova, titan
from craton.dialects.dialect import Stamp
from craton.dialects.embedding import (
    EmbeddingRequest,
    Embeddings,
    EmbeddingType,
    quantized,
    shaped,
)
from craton.dialects.invoke import EMBEDDING_CODECS, TEXT_CODECS
from craton.dialects.invoke_format import BodyFormat, Members, choose, read_members
from craton.kernel.errors import BadRequest, EngineFailed, Unsupported
from craton.messages import Request, Role, StopReason

HI = {"role": "user", "content": "hi"}
TYPED = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
BARE = {"role": "user", "content": [{"text": "hi"}]}
CALL = {"role": "assistant", "content": None, "tool_calls": []}
STAMP = Stamp("id-1", "m", 0)


def members(body: Any) -> Members:
    return read_members(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"anthropic_version": "x"}, BodyFormat.ANTHROPIC_MESSAGES),
        ({"anthropic_version": "x", "messages": [BARE]}, BodyFormat.ANTHROPIC_MESSAGES),
        ({"messages": [HI], "system": "s"}, BodyFormat.ANTHROPIC_MESSAGES),
        ({"messages": [HI], "system": [{"type": "text"}]}, BodyFormat.ANTHROPIC_MESSAGES),
        ({"messages": [HI]}, BodyFormat.OPENAI_CHAT),
        ({"messages": [TYPED]}, BodyFormat.OPENAI_CHAT),
        ({"messages": [CALL, TYPED]}, BodyFormat.OPENAI_CHAT),
        ({"messages": []}, BodyFormat.OPENAI_CHAT),
        ({"messages": 7}, BodyFormat.OPENAI_CHAT),
        ({"messages": [{"content": 7}]}, BodyFormat.OPENAI_CHAT),
        ({"messages": [BARE]}, BodyFormat.NOVA_MESSAGES),
        ({"messages": [HI], "schemaVersion": "messages-v1"}, BodyFormat.NOVA_MESSAGES),
        ({"messages": [HI], "inferenceConfig": {}}, BodyFormat.NOVA_MESSAGES),
        ({"messages": [BARE], "system": [{"text": "s"}]}, BodyFormat.NOVA_MESSAGES),
        ({"prompt": "x"}, BodyFormat.LLAMA),
        ({"inputText": "x"}, BodyFormat.TITAN_TEXT),
        ({"inputText": "x", "textGenerationConfig": {}}, BodyFormat.TITAN_TEXT),
        ({"inputText": "x", "normalize": True}, BodyFormat.TITAN_EMBEDDING),
        ({"texts": ["x"]}, BodyFormat.COHERE_EMBEDDING),
        ({"images": [], "input_type": "image"}, BodyFormat.COHERE_EMBEDDING),
    ],
)
def test_the_body_decides_its_format(body: dict[str, Any], expected: BodyFormat) -> None:
    assert choose(members(body)) is expected


def test_a_bare_text_is_embedded_by_a_model_that_embeds() -> None:
    bare = members({"inputText": "x"})
    assert choose(bare, embeds=True) is BodyFormat.TITAN_EMBEDDING
    assert choose(bare, (BodyFormat.TITAN_EMBEDDING,)) is BodyFormat.TITAN_EMBEDDING
    assert choose(bare, (BodyFormat.TITAN_TEXT,), embeds=True) is BodyFormat.TITAN_TEXT


def test_a_model_of_one_format_lets_its_reader_say_what_is_missing() -> None:
    odd = members({"question": "x"})
    chosen = choose(odd, (BodyFormat.LLAMA,))
    assert chosen is BodyFormat.LLAMA
    with pytest.raises(BadRequest, match="`question`: is not a member of Llama's body"):
        TEXT_CODECS[chosen].read_request(odd, "m", stream=False)


def test_a_refusal_lists_every_shape_that_would_be_read() -> None:
    with pytest.raises(BadRequest) as every:
        choose(members({"question": "x"}))
    for name in BodyFormat:
        assert f"{name} (" in every.value.message
    with pytest.raises(BadRequest) as two:
        choose(members({"prompt": "x"}), (BodyFormat.TITAN_TEXT, BodyFormat.NOVA_MESSAGES))
    assert "of llama" in two.value.message
    assert "nova-messages (" in two.value.message
    assert "openai-chat" not in two.value.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"prompt": "\xff"}', "not UTF-8"),
        (b'{"prompt": "\\ud800"}', "not valid JSON"),
        (b'{"prompt": ' + b"[" * 5000, "nested deeper"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper"),
    ],
)
def test_what_is_not_json_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        TEXT_CODECS[BodyFormat.LLAMA].read_request(read_members(body), "m", stream=False)


# --- prompts ------------------------------------------------------------------------------------

SYSTEM, USER, ASSISTANT = Role.SYSTEM, Role.USER, Role.ASSISTANT


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("Once upon a time", [(USER, "Once upon a time")]),
        (" keep [INST] as it is ", [(USER, " keep [INST] as it is ")]),
        (
            (
                "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
            [(SYSTEM, "Be brief."), (USER, "Hi")],
        ),
        (
            (
                "\n    <|begin_of_text|>\n    <|start_header_id|>user<|end_header_id|>\n    Hi\n"
                "    <|eot_id|>\n    <|start_header_id|>assistant<|end_header_id|>\n    "
            ),
            [(USER, "Hi")],
        ),
        (
            (
                "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\nHello, I"
            ),
            [(USER, "Hi"), (ASSISTANT, "Hello, I")],
        ),
        (
            (
                "<|begin_of_text|><|header_start|>user<|header_end|>\n\nHi<|eot|>"
                "<|header_start|>assistant<|header_end|>"
            ),
            [(USER, "Hi")],
        ),
        ("[INST] Hi [/INST]", [(USER, "Hi")]),
        (
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] And? [/INST]",
            [(SYSTEM, "Be brief."), (USER, "Hi"), (ASSISTANT, "Hello"), (USER, "And?")],
        ),
        (
            "<|start_header_id|>ipython<|end_header_id|>\n\n{}<|eot_id|>",
            [(USER, "<|start_header_id|>ipython<|end_header_id|>\n\n{}<|eot_id|>")],
        ),
    ],
)
def test_a_prompt_in_one_of_llamas_templates_is_the_conversation_it_stands_for(
    prompt: str, turns: list[Any]
) -> None:
    assert llama.read_prompt(prompt) == turns


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("Write a poem.", [(USER, "Write a poem.")]),
        ("User: Hi\nBot:", [(USER, "Hi")]),
        ("User: a\nBot: b\nUser: c\nBot: ", [(USER, "a"), (ASSISTANT, "b"), (USER, "c")]),
        ("Read this. User: x\nBot:", [(USER, "Read this. User: x\nBot:")]),
        ("User: Hi", [(USER, "User: Hi")]),
        ("Bot: Hi\nBot:", [(USER, "Bot: Hi\nBot:")]),
    ],
)
def test_titans_conversational_form_is_taken_apart(text: str, turns: list[Any]) -> None:
    assert titan.read_prompt(text) == turns


def test_a_prompt_of_many_marks_is_read_in_time_that_grows_with_its_length() -> None:
    for piece in (
        "[INST]",
        "<s>",
        "<|start_header_id|>user<|end_header_id|>",
        "\nUser:",
        "<<SYS>>",
    ):
        assert llama.read_prompt(piece * 20_000)
        assert titan.read_prompt(piece * 20_000)


# --- Nova ---------------------------------------------------------------------------------------


def read_nova(**more: Any) -> Request:
    body = {"messages": [BARE], **more}
    return nova.read_request(members(body), "m", stream=False)


def test_nova_takes_the_settings_under_both_its_names() -> None:
    new = read_nova(inferenceConfig={"maxTokens": 5, "topP": 0.5, "topK": 3})
    old = read_nova(inferenceConfig={"max_new_tokens": 5, "top_p": 0.5, "top_k": 3})
    assert (new.max_tokens, new.top_p, new.top_k) == (5, 0.5, 3)
    assert new == old
    with pytest.raises(BadRequest, match="max_new_tokens"):
        read_nova(inferenceConfig={"maxTokens": 5, "max_new_tokens": 5})
    assert read_nova(inferenceConfig={"topK": 0}).top_k is None
    thinking = read_nova(inferenceConfig={"reasoningConfig": {"type": "disabled"}}).thinking
    assert thinking is not None
    assert thinking.mode == "disabled"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": []}]}, "content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"text": 7}]}]}, "expected `string`"),
        ({"messages": [{"role": "user", "content": [{"text": None}]}]}, "expected `string`"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"image": {"format": "png", "source": {"bytes": "?"}}}],
                    }
                ]
            },
            "messages-v1",
        ),
        ({"system": [{"image": {}}]}, "system block"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}]}}, "'inputSchema' is missing"),
        ({"schemaVersion": "messages-v2"}, "schemaVersion"),
        ({"inferenceConfig": {"temperature": 3}}, "inferenceConfig.temperature"),
        ({"nope": 1}, "`nope`"),
    ],
)
def test_what_does_not_fit_novas_schema_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read_nova(**more)


# --- answers that aren't --------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [llama, titan, nova])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"generation": 1, "output": 2}'])
def test_an_answer_of_another_format_is_the_engines_failure(codec: Any, body: bytes) -> None:
    with pytest.raises(EngineFailed):
        codec.read_answer(body)


def test_what_a_format_has_no_words_for_is_not_written() -> None:
    tool = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}
    asked = read_nova(toolConfig={"tools": [tool]})
    for codec in (llama, titan):
        with pytest.raises(Unsupported, match="tools"):
            codec.write_request(asked)
    with pytest.raises(Unsupported, match="system prompt"):
        titan.write_request(read_nova(system=[{"text": "s"}]))
    with pytest.raises(Unsupported, match="stop sequences"):
        llama.write_request(read_nova(inferenceConfig={"stopSequences": ["x"]}))


def test_llamas_length_is_read_as_the_limit_that_was_met() -> None:
    body = {
        "generation": "x",
        "prompt_token_count": 3,
        "generation_token_count": 2,
        "stop_reason": "length",
    }
    answer = llama.read_answer(json.dumps(body).encode())
    assert answer.stop.stop_reason is StopReason.MAX_TOKENS
    assert answer.metadata.usage.prompt_tokens == 3


# --- vectors ------------------------------------------------------------------------------------


def test_vectors_are_shortened_first_and_scaled_then() -> None:
    asked = EmbeddingRequest(model="m", texts=["x"], dimensions=2, normalize=True)
    assert shaped([[3.0, 4.0, 12.0]], asked) == [[0.6, 0.8]]
    plain = EmbeddingRequest(model="m", texts=["x"], dimensions=2)
    assert shaped([[3.0, 4.0, 12.0]], plain) == [[3.0, 4.0]]
    assert shaped([[0.0, 0.0, 0.0]], asked) == [[0.0, 0.0]]
    with pytest.raises(BadRequest, match="gives 3"):
        shaped([[3.0, 4.0, 12.0]], EmbeddingRequest(model="m", texts=["x"], dimensions=4))


def test_number_formats_are_what_they_say() -> None:
    vector = [3.0, -4.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0]
    length = math.hypot(*vector)
    assert quantized(vector, EmbeddingType.FLOAT) == vector
    int8 = [round(127 * value / length) for value in vector]
    assert quantized(vector, EmbeddingType.INT8) == int8
    assert quantized(vector, EmbeddingType.UINT8) == [value + 128 for value in int8]
    assert quantized(vector, EmbeddingType.UBINARY) == [0b10011111, 0]
    assert quantized(vector, EmbeddingType.BINARY) == [0b10011111 - 128, -128]
    for form, low, high in (("int8", -128, 127), ("uint8", 0, 255), ("binary", -128, 127)):
        for extreme in ([1.0], [-1.0], [0.0]):
            assert low <= quantized(extreme, EmbeddingType(form))[0] <= high


def test_each_embedding_answers_in_its_own_form() -> None:
    made = Embeddings(vectors=[[0.6, -0.8]], input_tokens=3)
    asked = EMBEDDING_CODECS[BodyFormat.TITAN_EMBEDDING].read_embedding_request(
        members({"inputText": "x", "embeddingTypes": ["binary"]}), "m"
    )
    told = msgspec.json.decode(titan.write_embeddings(made, asked, STAMP))
    assert told == {
        "embedding": [0.6, -0.8],
        "embeddingsByType": {"binary": [1, 0]},
        "inputTextTokenCount": 3,
    }
    asked = cohere.read_embedding_request(
        members({"texts": ["x"], "input_type": "classification"}), "m"
    )
    told = msgspec.json.decode(cohere.write_embeddings(made, asked, STAMP))
    assert told == {
        "id": "id-1",
        "texts": ["x"],
        "embeddings": [[0.6, -0.8]],
        "response_type": "embeddings_floats",
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"texts": ["x"]}, "input_type"),
        ({"texts": ["x"], "input_type": "other"}, "input_type"),
        ({"texts": ["x"] * 97, "input_type": "clustering"}, "texts"),
        ({"texts": ["x"], "inputs": [{"content": [{"type": "text", "text": "y"}]}]}, "input_type"),
        (
            {
                "texts": ["x"],
                "inputs": [{"content": [{"type": "text", "text": "y"}]}],
                "input_type": "clustering",
            },
            "inputs",
        ),
        (
            {
                "inputs": [{"content": [{"type": "image_url", "image_url": "data:"}]}],
                "input_type": "clustering",
            },
            "pictures",
        ),
        ({"texts": ["x"], "input_type": "clustering", "max_tokens": 5}, "max_tokens"),
        ({"texts": ["x"], "input_type": "clustering", "embedding_types": ["int4"]}, "int4"),
    ],
)
def test_what_coheres_body_can_not_say_is_refused(body: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        cohere.read_embedding_request(members(body), "m")
