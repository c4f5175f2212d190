"""Pictures, documents and videos in the bodies of InvokeModel that carry them."""

import base64
import json
from typing import Any

import pytest

from craton.dialects import cohere, llama, nova, titan
from craton.dialects.invoke_format import read_members
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages import Request, Role, Text
from craton.messages.blocks import (
    Audio,
    Document,
    Image,
    InlineSource,
    Message,
    S3Source,
    UrlSource,
    Video,
)

PNG = b"\x89PNG\r\n\x1a\n rest"
JPEG = b"\xff\xd8\xff\xe0 rest"
TURN = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def members(**body: Any) -> Any:
    return read_members(json.dumps(body).encode())


def ask_llama(prompt: str, *images: str) -> Request:
    return llama.read_request(members(prompt=prompt, images=list(images)), "m", stream=False)


def picture(data: bytes, kind: str) -> Image:
    return Image(source=InlineSource(data=data), format=kind)


def test_llamas_pictures_stand_where_the_prompt_marks_them() -> None:
    said = TURN.format("assistant", "A cat.") + TURN.format("user", "Now <|image|>compare.")
    request = ask_llama(TURN.format("user", "<|image|>What?") + said, b64(PNG), b64(JPEG))
    assert [message.content for message in request.messages] == [
        [picture(PNG, "png"), Text(text="What?")],
        [Text(text="A cat.")],
        [Text(text="Now "), picture(JPEG, "jpeg"), Text(text="compare.")],
    ]


def test_llamas_pictures_without_marks_come_before_the_last_question() -> None:
    request = ask_llama("What is this?", b64(PNG), b64(JPEG))
    (message,) = request.messages
    assert message.content == [
        picture(PNG, "png"),
        picture(JPEG, "jpeg"),
        Text(text="What is this?"),
    ]


@pytest.mark.parametrize(
    ("prompt", "images", "told"),
    [
        ("x", ["%%%"], r"`images\[0\]`: expected a picture in base64"),
        ("x", [""], r"`images\[0\]`: expected a picture in base64"),
        ("x", [b64(PNG), b64(b"BM bitmap")], r"`images\[1\]`: is no picture of a kind known"),
        ("<|image|>x", [b64(PNG), b64(PNG)], "`images`: has 2 pictures, and the prompt has 1"),
        (
            TURN.format("user", "x") + TURN.format("assistant", "<|image|>"),
            [b64(PNG)],
            "`prompt`: has `<|image|>` outside".replace("|", r"\|"),
        ),
    ],
)
def test_llamas_pictures_that_cannot_be_placed_are_refused(
    prompt: str, images: list[str], told: str
) -> None:
    with pytest.raises(BadRequest, match=told):
        ask_llama(prompt, *images)


def test_llamas_images_must_be_texts() -> None:
    with pytest.raises(BadRequest, match=r"`images\[0\]`"):
        llama.read_request(members(prompt="x", images=[5]), "m", stream=False)


def test_a_mark_without_pictures_is_text() -> None:
    request = llama.read_request(members(prompt="What is <|image|>?"), "m", stream=False)
    assert request.messages[0].content == [Text(text="What is <|image|>?")]


def test_llamas_pictures_are_written_as_they_are_read() -> None:
    request = ask_llama(TURN.format("user", "One <|image|> two"), b64(PNG))
    body = llama.write_request(request)
    assert json.loads(body)["images"] == [b64(PNG)]
    again = llama.read_request(read_members(body), "m", stream=False)
    assert again.messages == request.messages
    assert "images" not in json.loads(llama.write_request(ask_llama("x")))
    elsewhere = [Message(role=Role.USER, content=[Image(source=UrlSource(url="u"))])]
    with pytest.raises(Unsupported, match="bytes"):
        llama.write_request(Request(model="m", messages=elsewhere))


def test_novas_media_are_conversation_blocks_and_are_written_back() -> None:
    content = [
        {"text": "Which?"},
        {"image": {"format": "png", "source": {"bytes": b64(PNG)}}},
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": b64(b"%PDF")}}},
        {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        {"audio": {"format": "wav", "source": {"bytes": b64(b"RIFF")}}},
    ]
    asked = members(messages=[{"role": "user", "content": content}])
    request = nova.read_request(asked, "m", stream=False)
    assert request.messages[0].content == [
        Text(text="Which?"),
        picture(PNG, "png"),
        Document(source=InlineSource(data=b"%PDF"), name="d", format="pdf"),
        Video(source=S3Source(uri="s3://b/k"), format="mp4"),
        Audio(source=InlineSource(data=b"RIFF"), format="wav"),
    ]
    assert json.loads(nova.write_request(request))["messages"][0]["content"] == content


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_novas_media_need_a_source(kind: str) -> None:
    asked = members(
        messages=[{"role": "user", "content": [{"text": "x"}, {kind: {"format": "f"}}]}]
    )
    with pytest.raises(BadRequest, match=r"`messages\[0\].content\[1\].source`: is required"):
        nova.read_request(asked, "m", stream=False)


def test_pictures_to_embed_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="`images`"):
        cohere.read_embedding_request(members(input_type="image", images=["data:x"]), "m")
    with pytest.raises(BadRequest, match="`inputImage`"):
        titan.read_embedding_request(members(inputText="x", inputImage=b64(PNG)), "m")
