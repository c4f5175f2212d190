"""WordPiece: words, pieces, the limit, and text that looks like a mark."""

from pathlib import Path

import pytest

from craton.kernel.errors import EngineFailed
from craton.models.engines.embedded.embeddings_wordpiece import WordPiece, read_vocabulary

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##able", "##a", "##ble", "able", "cafe", "the"]
VOCABULARY = [
    *WORDS,
    "日",
    "本",
    "!",
    "[",
    "]",
    "sep",
    "$",
    "5",
    "##\u03c3",
    "\u03bf\u03c2",
    "\u03c3",
    "«",
]
CLS, SEP, UNK = 2, 3, 1


def pieces(text: str, *, tokens_max: int = 99) -> list[str]:
    ids, _ = WordPiece(VOCABULARY).tokens(text, tokens_max=tokens_max)
    assert (ids[0], ids[-1]) == (CLS, SEP)
    return [VOCABULARY[number] for number in ids[1:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\r\u3000\u00a0", []),
        ("The CAFÉ", ["the", "cafe"]),
        ("the\x00\ufffd\u200b\x0bcafe", ["[UNK]"]),
        ("the\u2028cafe", ["the", "cafe"]),
        ("unable", ["un", "##able"]),
        ("unablex", ["[UNK]"]),
        ("able!unable", ["able", "!", "un", "##able"]),
        ("日本", ["日", "本"]),
        ("$5«", ["$", "5", "«"]),
        ("[SEP]", ["[", "sep", "]"]),
        ("\u03a3\u03a3", ["\u03c3", "##\u03c3"]),
        ("a" * 101, ["[UNK]"]),
    ],
)
def test_a_text_is_cut_into_the_longest_pieces_of_its_words(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@pytest.mark.parametrize(
    ("tokens_max", "expected", "is_cut"),
    [
        (6, ["the", "un", "##able", "!"], False),
        (5, ["the", "un", "##able"], True),
        (4, ["the", "un"], True),
        (2, [], True),
    ],
)
def test_the_limit_counts_the_marks_and_says_whether_it_cut(
    tokens_max: int, expected: list[str], is_cut: bool
) -> None:
    assert pieces("the unable!", tokens_max=tokens_max) == expected
    assert WordPiece(VOCABULARY).tokens("the unable!", tokens_max=tokens_max).is_cut is is_cut


def test_what_follows_the_limit_costs_nothing() -> None:
    words = WordPiece(VOCABULARY)
    words.tokens("the " * 100_000 + "able", tokens_max=8)
    assert "able" not in words._known


def test_a_vocabulary_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("[UNK]\n[CLS]\n[SEP]\n\u2028\nlast\n".encode())
    assert read_vocabulary(path)[:5] == ["[UNK]", "[CLS]", "[SEP]", "\u2028", "last"]


@pytest.mark.parametrize("content", [None, b"[UNK]\n[CLS]\n", b"\xff\xfe"])
def test_a_vocabulary_that_is_none_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineFailed, match=r"vocab\.txt"):
        read_vocabulary(path)
