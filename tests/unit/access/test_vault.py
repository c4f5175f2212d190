import stat
from pathlib import Path

import pytest

from craton.access.contract import NewKey
from craton.access.credentials import Credentials, read_credentials, write_credentials
from craton.access.records import AccountId, KeyId, ProjectId, Role
from craton.access.vault import Vault, open_vault
from craton.kernel.errors import Internal, NotFound


def test_a_sealed_secret_opens_for_its_owner_only() -> None:
    vault = Vault(b"k" * 32)
    box = vault.seal(b"secret", "AKIA1")
    assert b"secret" not in box
    assert vault.open(box, "AKIA1") == b"secret"
    with pytest.raises(Internal, match="AKIA2"):
        vault.open(box, "AKIA2")


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    vault = Vault(b"k" * 32)
    assert vault.seal(b"secret", "a") != vault.seal(b"secret", "a")


@pytest.mark.parametrize("place", [0, 12, -1])
def test_a_changed_box_does_not_open(place: int) -> None:
    vault = Vault(b"k" * 32)
    box = bytearray(vault.seal(b"secret", "a"))
    box[place] ^= 1
    with pytest.raises(Internal):
        vault.open(bytes(box), "a")


def test_a_master_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    box = open_vault(path).seal(b"secret", "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_vault(path).open(box, "a") == b"secret"
    assert list(tmp_path.iterdir()) == [path]


def test_another_master_key_says_what_to_do(tmp_path: Path) -> None:
    box = open_vault(tmp_path / "one.key").seal(b"secret", "a")
    with pytest.raises(Internal, match="Put the old file back"):
        open_vault(tmp_path / "two.key").open(box, "a")


def test_a_master_key_file_that_is_cut_short_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(b"short")
    with pytest.raises(Internal, match="5 bytes"):
        open_vault(path)


def new_key() -> NewKey:
    return NewKey(
        AccountId("1"), "default", ProjectId("p"), "first", Role.OPERATOR, KeyId("AKIA"), "secret",
        KeyId("key-1"), "sk-craton-x",
    )  # fmt: skip


def test_credentials_are_read_as_written_and_private(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    credentials = Credentials({"default": new_key()}, "default")
    path.write_text("old")
    path.with_suffix(".new").write_text("left over by a crash, and readable by all")
    write_credentials(path, credentials)
    assert read_credentials(path) == credentials
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_missing_or_damaged_credentials_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    with pytest.raises(NotFound, match="craton up"):
        read_credentials(path)
    path.write_text("{")
    with pytest.raises(NotFound, match="is damaged"):
        read_credentials(path)
