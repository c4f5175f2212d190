"""Models by name or by file: bundled cards, `config.json`, GGUF.

A bundled card (`model_files/*.toml`) holds the config keys of a well-known public model, where they
were read, and its published size, against which the reader is tested.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import cast

import msgspec

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon import gguf, huggingface
from craton.silicon.architecture import Architecture

CONFIG_BYTES_MAX = 16 * 1024 * 1024
NEAREST_MAX = 5

_FILES = Path(__file__).with_name("model_files")

# What follows a model's name without changing its architecture: how it was tuned, in which format
# it is stored, when it was released.
_QUALIFIERS = frozenset(
    {
        *("instruct", "chat", "it", "base", "thinking", "hf", "text", "preview", "pre", "training"),
        *("fp32", "bf16", "fp16", "fp8", "fp4", "nvfp4", "mxfp4", "int8", "int4", "awq", "gptq"),
        *("w4a16", "w8a8", "4bit", "8bit", "bnb", "dynamic", "static", "block", "quantized"),
        *("pertensor", "perchannel", "autoround"),
        *("kv", "gguf", "qat", "ph1", "ph2", "pretraining", "terminus"),
    }
)
_RELEASE = re.compile(r"\d{4}")
"""A month or day: 2507, 0528."""
_WORDS = re.compile(r"[a-z0-9]+")


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many parameters a model is published to have."""

    total: int
    source: str
    active: int | None = None
    """A token is multiplied with; None where it isn't published, or is all of them."""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundled model: its config keys and where they were read."""

    name: str
    source: str
    read: date
    """The day the source was read."""
    config: dict[str, object]
    """Keys of a Hugging Face `config.json`."""
    aliases: tuple[str, ...] = ()
    note: str = ""
    size: Size | None = None

    def architecture(self) -> Architecture:
        """What the keys describe."""
        return huggingface.read_config(self.config, name=self.name)


@cache
def cards() -> Mapping[str, Card]:
    """The bundled models by name, in the order of their names."""
    found: dict[str, Card] = {}
    for path in sorted(_FILES.glob("*.toml")):
        card = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Card)
        assert card.name == path.stem, f"{path} holds the card {card.name!r}"
        found[card.name] = card
    return found


@cache
def _keys() -> Mapping[str, str]:
    """Names and aliases without case and punctuation, and whose they are."""
    found: dict[str, str] = {}
    for card in cards().values():
        for name in (card.name, *card.aliases):
            words = _WORDS.findall(name.lower())
            for key in ("".join(words), "".join(_bare(words))):
                assert found.get(key, card.name) == card.name, f"two cards are called {name!r}"
                found[key] = card.name
    return found


def _bare(words: Sequence[str]) -> list[str]:
    """The words of a name without its qualifiers and release."""
    return [word for word in words if word not in _QUALIFIERS and not _RELEASE.fullmatch(word)]


def find_model(name_or_path: str | Path) -> Architecture:
    """The architecture of a bundled model, or the one in a file.

    A file is a `config.json` (any name that ends in `.json`), a folder with one, or a `.gguf`. A
    name is a card's or an alias, in any case and punctuation, with or without the lab before a
    slash and a tuning, format or release after it: `meta-llama/Llama-3.1-8B-Instruct`,
    `Qwen3_30B_a3B`. NotFound names the nearest ones; BadRequest says what is wrong with a file.
    """
    path = Path(name_or_path)
    try:
        is_folder = (path / "config.json").is_file()
    except (OSError, ValueError):  # too long, or not a path at all
        is_folder = False
    if is_folder:
        return _read_config_file(path / "config.json", name=path.resolve().name)
    if path.suffix.lower() == ".gguf":
        return gguf.read_gguf(path).architecture
    if path.suffix.lower() == ".json":
        name = path.stem if path.stem != "config" else path.resolve().parent.name
        return _read_config_file(path, name=name)
    return find_card(str(name_or_path)).architecture()


def find_card(name: str) -> Card:
    """The bundled model of that name, as for `find_model`; NotFound names the nearest."""
    words = _WORDS.findall(name.lower().rpartition("/")[2])
    bare, keys = _bare(words), _keys()
    for given in (words, bare, bare[1:] if bare[:1] == ["nvidia"] else []):
        if (key := "".join(given)) in keys:
            return cards()[keys[key]]
    raise NotFound(_no_such(name, "".join(words)))


def _no_such(name: str, key: str) -> str:
    keys = _keys()
    matches = difflib.get_close_matches(key, keys, n=2 * NEAREST_MAX, cutoff=0.5)
    nearest = list(dict.fromkeys(keys[match] for match in matches))[:NEAREST_MAX]
    hint = f"Nearest: {', '.join(nearest)}. " if nearest else ""
    return (
        f"No bundled model is called {name[:200]!r}. {hint}Give one of those names, the path of"
        " a config.json, of a folder with one, or of a .gguf file."
    )


def _read_config_file(path: Path, *, name: str) -> Architecture:
    try:
        with path.open("rb") as file:
            text = file.read(CONFIG_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise NotFound(f"The file {path} can't be read: {error}") from error
    if len(text) > CONFIG_BYTES_MAX:
        raise BadRequest(f"{path} is over {CONFIG_BYTES_MAX} bytes; a config.json is far smaller")
    try:
        # The standard library's reader, because published configs hold Infinity.
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{path} isn't JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest(f"{path} holds no JSON object; a config.json is one")
    return huggingface.read_config(cast("dict[str, object]", value), name=name)
