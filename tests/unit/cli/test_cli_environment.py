import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from craton.access.contract import NewKey
from craton.access.credentials import Credentials, write_credentials
from craton.access.records import Role
from craton.bootstrap.settings import Settings
from craton.cli.environment import shell_lines, variables_of
from craton.cli.installation import CREDENTIALS_FILE, ENDPOINT_FILE, read_installation
from craton.cli.main import main
from craton.cli.options import DATA
from craton.kernel.errors import AccessDenied, NotFound

NAMES = [
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
]


def key(account: str, name: str) -> NewKey:
    return NewKey(
        account=account,
        account_name=name,
        project="proj-1",
        name="first",
        role=Role.OPERATOR,
        access_key_id=f"AKIA{account}",
        secret_access_key="it's $secret",
        api_key_id="key-1",
        api_key=f"sk-craton-{name}",
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "craton data"
    folder.mkdir(mode=0o700)
    keys = {"default": key("111111111111", "default"), "team-a": key("222222222222", "team-a")}
    write_credentials(folder / CREDENTIALS_FILE, Credentials(keys, "default"))
    endpoint = {"url": "http://127.0.0.1:8400", "pid": 1, "region": "us-east-1"}
    (folder / ENDPOINT_FILE).write_bytes(msgspec.json.encode(endpoint))
    return folder


def test_the_files_are_where_the_server_writes_them() -> None:
    settings = Settings()
    assert settings.data == DATA
    assert settings.credentials == DATA / CREDENTIALS_FILE
    assert settings.endpoint == DATA / ENDPOINT_FILE


def test_env_prints_lines_that_a_shell_takes_whole(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "--data", str(data)]) == 0
    script = capsys.readouterr().out + "env"
    ran = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True, env={}
    )
    told = dict(line.partition("=")[::2] for line in ran.stdout.splitlines())
    assert told["AWS_SECRET_ACCESS_KEY"] == "it's $secret"
    assert told["OPENAI_BASE_URL"] == "http://127.0.0.1:8400/v1"
    assert told["ANTHROPIC_BASE_URL"] == told["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8400"
    assert told["AWS_REGION"] == told["AWS_DEFAULT_REGION"] == "us-east-1"
    assert set(NAMES) <= set(told)


@pytest.mark.parametrize("account", ["team-a", "222222222222"])
def test_env_tells_another_accounts_keys_by_name_or_id(
    data: Path, account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "--data", str(data), "--account", account, "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert list(told) == NAMES
    assert told["OPENAI_API_KEY"] == told["ANTHROPIC_API_KEY"] == "sk-craton-team-a"


def test_a_clean_environment_gets_exports_only(data: Path) -> None:
    lines = shell_lines(variables_of(read_installation(data), None), {})
    assert [line.split("=")[0] for line in lines] == [f"export {name}" for name in NAMES]


def test_what_would_get_in_the_way_of_the_keys_is_unset(data: Path) -> None:
    present = {"AWS_SESSION_TOKEN": "old", "AWS_BEARER_TOKEN_BEDROCK": "x", "HOME": "/"}
    lines = shell_lines(variables_of(read_installation(data), None), present)
    assert lines[len(NAMES) :] == ["unset AWS_SESSION_TOKEN", "unset AWS_BEARER_TOKEN_BEDROCK"]


def test_a_proxy_is_not_asked_for_this_craton(data: Path) -> None:
    variables = variables_of(read_installation(data), None)
    present = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "example.org"}
    lines = shell_lines(variables, present)
    assert "export no_proxy=example.org,127.0.0.1" in lines
    assert "export NO_PROXY=example.org,127.0.0.1" in lines
    excepted = {**present, "no_proxy": "localhost, 127.0.0.1"}
    assert shell_lines(variables, excepted) == shell_lines(variables, {})


def trusting(data: Path, **trust: str) -> dict[str, str]:
    url = "https://127.0.0.1:8400"
    endpoint = {"url": url, "pid": 1, "region": "us-east-1", "trust": trust}
    (data / ENDPOINT_FILE).write_bytes(msgspec.json.encode(endpoint))
    return variables_of(read_installation(data), None)


def test_over_tls_every_sdk_is_told_of_the_local_authority(data: Path) -> None:
    told = trusting(data, authority="/d/ca.pem", bundle="/d/bundle.pem")
    assert told["OPENAI_BASE_URL"] == "https://127.0.0.1:8400/v1"
    assert {name: value for name, value in told.items() if name not in NAMES} == {
        "AWS_CA_BUNDLE": "/d/bundle.pem",
        "SSL_CERT_FILE": "/d/bundle.pem",
        "REQUESTS_CA_BUNDLE": "/d/bundle.pem",
        "NODE_EXTRA_CA_CERTS": "/d/ca.pem",
    }


def test_a_certificate_of_ones_own_needs_no_authority_and_gives_its_name(data: Path) -> None:
    told = trusting(data, certificate="/own.pem", name="gateway.example.org")
    assert list(told) == NAMES
    assert told["AWS_ENDPOINT_URL"] == "https://gateway.example.org:8400"
    assert trusting(data, certificate="/own.pem")["AWS_ENDPOINT_URL"] == "https://127.0.0.1:8400"


def test_a_credentials_file_that_others_can_read_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / CREDENTIALS_FILE).chmod(0o640)
    with pytest.raises(AccessDenied, match="chmod 600"):
        read_installation(data)
    assert main(["env", "--data", str(data)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "0640" in told.err


def test_an_account_that_is_not_in_the_file_is_told_who_is(data: Path) -> None:
    with pytest.raises(NotFound, match=r"'team-b'.*default, team-a.*accounts create"):
        read_installation(data).key("team-b")


@pytest.mark.parametrize(
    ("missing", "says"), [(CREDENTIALS_FILE, "craton up"), (ENDPOINT_FILE, "craton up --data")]
)
def test_a_missing_file_says_how_to_get_it(data: Path, missing: str, says: str) -> None:
    (data / missing).unlink()
    with pytest.raises(NotFound, match=says):
        read_installation(data)


def test_a_damaged_endpoint_file_is_told_as_such(data: Path) -> None:
    (data / ENDPOINT_FILE).write_text("{")
    with pytest.raises(NotFound, match="damaged"):
        read_installation(data)


def test_the_data_folder_may_come_from_the_environment(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "CRATON_DATA", str(data))
    assert main(["env", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["AWS_REGION"] == "us-east-1"
