from pathlib import Path

import pytest

from craton.bootstrap.database_url import checked_url, chosen, remember, remembered
from craton.bootstrap.settings import Settings, checked
from craton.kernel.errors import BadRequest, Conflict

URL = "postgresql://craton@db.example.com/craton?sslmode=verify-full"


def test_an_address_without_a_password_is_taken_as_it_is() -> None:
    for url in (URL, "postgres:///craton", "postgresql://u@/d?host=/run/pg&passfile=/etc/pg"):
        assert checked_url(url) == url
    assert checked(Settings(postgresql=URL)).postgresql == URL


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://craton:hunter2@db/craton",
        "postgresql://craton@db/craton?password=hunter2",
        "postgresql://craton@db/craton?sslmode=require&sslpassword=hunter2",
        "postgresql://craton:@db/craton",
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadRequest, match="PGPASSFILE") as refused:
        checked_url(url)
    assert "hunter2" not in refused.value.message
    with pytest.raises(BadRequest, match="PGPASSFILE"):
        checked(Settings(postgresql=url))


@pytest.mark.parametrize(
    "url", ["", "craton.db", "mysql://a@b/c", "host=db", "postgresql://[::1/x"]
)
def test_what_is_no_address_of_postgresqls_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="postgresql://"):
        checked_url(url)


def test_a_data_folder_remembers_where_its_ledger_is(tmp_path: Path) -> None:
    file = tmp_path / "craton.db"
    assert chosen(None, tmp_path, file) is None
    assert chosen(URL, tmp_path, file) == URL
    remember(URL, tmp_path)
    assert remembered(tmp_path) == URL
    assert chosen(None, tmp_path, file) == URL
    moved = URL.replace("db.", "new.")
    assert chosen(moved, tmp_path, file) == moved


def test_a_ledger_in_a_file_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "craton.db").touch()
    assert chosen(None, tmp_path, tmp_path / "craton.db") is None
    with pytest.raises(Conflict, match="doesn't move it"):
        chosen(URL, tmp_path, tmp_path / "craton.db")


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "database.json").write_text("{")
    with pytest.raises(Conflict, match=r"database\.json is damaged"):
        remembered(tmp_path)
