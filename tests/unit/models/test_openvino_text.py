"""OpenVINO's tokens become letters when their bytes are whole; and an error tells how to get it."""

import pytest

from craton.kernel.errors import Unavailable
from craton.models.engines.embedded.openvino_presence import check_installed
from craton.models.engines.embedded.openvino_text import Spelling

FACE = "😀".encode()
VOCABULARY = {b"Hello": 1, b" world": 2, FACE[:2]: 3, FACE[2:]: 4, b"<|im_end|>": 5, b"\xff": 6}


def read(*tokens: int) -> list[str]:
    reader = Spelling(VOCABULARY, {5}).reader()
    return [reader.read(token) for token in tokens]


def test_plain_tokens_are_told_at_once() -> None:
    assert read(1, 2) == ["Hello", " world"]


def test_a_letter_of_several_tokens_is_told_when_it_is_whole() -> None:
    assert read(3, 4, 1) == ["", "😀", "Hello"]


def test_half_a_letter_at_the_end_is_never_told() -> None:
    assert "".join(read(1, 3)) == "Hello"


def test_bytes_that_are_no_letter_are_replaced_and_the_rest_goes_on() -> None:
    assert "".join(read(6, 1)) == "\ufffdHello"


def test_a_control_token_is_no_text_and_an_unknown_one_neither() -> None:
    assert read(5, 99, 1) == ["", "", "Hello"]


def test_each_answer_has_letters_of_its_own() -> None:
    spelling = Spelling(VOCABULARY, set())
    one, other = spelling.reader(), spelling.reader()
    assert one.read(3) == ""
    assert other.read(1) == "Hello"
    assert one.read(4) == "😀"


def test_without_its_package_the_error_says_what_to_install() -> None:
    check_installed(lambda _: object())
    with pytest.raises(Unavailable, match=r"pip install 'craton\[openvino\]'"):
        check_installed(lambda _: None)
