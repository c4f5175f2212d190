from pathlib import Path

from craton.bootstrap.logfile import rotate


def test_a_file_within_its_limit_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "craton.log"
    log.write_bytes(b"x" * 100)
    assert not rotate(log, bytes_max=100)
    assert log.read_bytes() == b"x" * 100


def test_a_file_over_its_limit_is_set_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "craton.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old" * 50)
        assert rotate(log, bytes_max=100)
        writer.write(b"new")
    assert (tmp_path / "craton.log.1").read_bytes() == b"old" * 50
    assert log.read_bytes() == b"new"


def test_a_file_that_is_not_there_needs_nothing(tmp_path: Path) -> None:
    assert not rotate(tmp_path / "craton.log")
