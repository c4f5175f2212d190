"""The log of a run: bounded, read on from a position, whole characters."""

from pathlib import Path

from craton.fleet.run_log import LogWriter, log_bytes, read_log


def whole(folder: Path, size: int = 7) -> str:
    text, at = "", 0
    while part := read_log(folder, at, size):
        if not part.text:
            return text
        text, at = text + part.text, part.next
    return text


def test_what_was_written_is_read_in_parts_of_any_size(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, piece_bytes=20)
    for number in range(8):
        log.write(f"line {number}\n".encode())
    assert whole(tmp_path, 1) == whole(tmp_path, 1000) == "".join(f"line {n}\n" for n in range(8))
    assert log_bytes(tmp_path) == 8 * 7


def test_only_the_latest_pieces_are_kept_and_who_reads_on_is_told(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, piece_bytes=10, pieces_max=2)
    log.write(b"".join(b"%08d\n" % number for number in range(100)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 10
    part = read_log(tmp_path, 5, 1000)
    assert part.start == 98 * 9
    assert part.text == "00000098\n"
    assert log_bytes(tmp_path) == 900


def test_a_character_is_never_cut_and_what_is_none_is_shown_as_such(tmp_path: Path) -> None:
    log = LogWriter(tmp_path)
    log.write("aé€😀z".encode())
    for size in range(4, 12):
        assert whole(tmp_path, size) == "aé€😀z"
    other = tmp_path / "other"
    other.mkdir()
    LogWriter(other).write(b"a\xff\xfeb")
    assert read_log(other, 0, 100).text == "a��b"


def test_nothing_written_is_nothing_read(tmp_path: Path) -> None:
    part = read_log(tmp_path, 3, 10)
    assert (part.text, part.next, log_bytes(tmp_path)) == ("", 3, 0)
    assert read_log(tmp_path / "gone", 0, 10).text == ""


def test_a_log_that_cannot_be_written_counts_what_is_lost_and_goes_on(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "late"
    log = LogWriter(folder)
    log.write(b"x" * 10_000)
    assert log.lost_bytes == 10_000
    folder.mkdir()
    log.write(b"y" * 5000)
    assert "y" in read_log(folder, 0, 10_000).text
