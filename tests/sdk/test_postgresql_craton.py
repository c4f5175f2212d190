"""A Craton that stores everything in PostgreSQL, as its clients and its operator see it."""

from collections.abc import Iterator
from pathlib import Path

import anthropic
import boto3
import msgspec
import openai
import pytest

from craton.cli.main import main
from tests.fakes.craton import ECHO, Craton
from tests.fakes.postgresql import PostgreSqlServer, name_of

PROMPT = "one two three"


@pytest.fixture(scope="module")
def stored(postgresql: PostgreSqlServer) -> str:
    return postgresql.database()


@pytest.fixture(scope="module")
def craton(stored: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    data = tmp_path_factory.mktemp("postgresql")
    running = Craton(data, engine="echo", workers=2, database=stored)
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


def client(craton: Craton) -> openai.OpenAI:
    return openai.OpenAI(base_url=craton.url + "/v1", api_key=craton.keys.api_key, max_retries=0)


def told(capsys: pytest.CaptureFixture[str], craton: Craton, *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    main([*arguments, "--json", "--data", str(craton.data)])
    return msgspec.json.decode(capsys.readouterr().out)


def test_every_sdk_is_answered_and_billed(
    craton: Craton, postgresql: PostgreSqlServer, stored: str
) -> None:
    keys = craton.keys
    bedrock = boto3.client(
        "bedrock-runtime",
        endpoint_url=craton.url,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
    )
    messages = [{"role": "user", "content": [{"text": PROMPT}]}]
    converse = bedrock.converse(modelId=ECHO, messages=messages)
    assert converse["output"]["message"]["content"][0]["text"] == PROMPT
    claude = anthropic.Anthropic(base_url=craton.url, api_key=keys.api_key, max_retries=0)
    with claude.messages.stream(
        model=ECHO, max_tokens=50, messages=[{"role": "user", "content": PROMPT}]
    ) as stream:
        assert "".join(stream.text_stream) == PROMPT
    with client(craton) as gpt:
        answer = gpt.responses.create(model=ECHO, input=PROMPT)
        after = gpt.responses.create(model=ECHO, input="four", previous_response_id=answer.id)
        assert gpt.responses.retrieve(after.id) == after
        gpt.responses.delete(answer.id)
        with pytest.raises(openai.NotFoundError):
            gpt.responses.retrieve(answer.id)
    rows = postgresql.run(
        "SELECT count(DISTINCT transaction_id), count(*), sum(amount) FROM postings",
        name_of(stored),
    )
    assert rows == [(4, 8, 0)]
    assert not (craton.data / "craton.db").exists()


def test_a_budget_is_kept_to(craton: Craton, capsys: pytest.CaptureFixture[str]) -> None:
    made = told(capsys, craton, "budgets", "create", "tight", "--amount", "0.000001")
    with client(craton) as gpt, pytest.raises(openai.RateLimitError, match="budget"):
        gpt.chat.completions.create(
            model=ECHO, messages=[{"role": "user", "content": PROMPT * 50}], max_tokens=500
        )
    main(["budgets", "delete", str(made["id"]), "--data", str(craton.data)])
    with client(craton) as gpt:
        gpt.chat.completions.create(
            model=ECHO, messages=[{"role": "user", "content": PROMPT}], max_tokens=500
        )


def test_the_ledger_is_whole_and_doctor_is_content(
    craton: Craton, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = told(capsys, craton, "ledger", "verify")
    assert verdict["whole"] is True
    checks = told(capsys, craton, "doctor")["checks"]
    assert isinstance(checks, list)
    (database,) = [check for check in checks if check["check"] == "database"]
    assert database["state"] == "ok"
    assert "commits durably" in database["detail"]


def test_doctor_names_a_ledger_that_does_not_balance(
    craton: Craton,
    postgresql: PostgreSqlServer,
    stored: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    harm = "INSERT INTO postings VALUES ('harm', 0, 'customer/x', 'USD', 1)"
    postgresql.run(harm, name_of(stored))
    try:
        checks = told(capsys, craton, "doctor")["checks"]
    finally:
        postgresql.run("DELETE FROM postings WHERE transaction_id = 'harm'", name_of(stored))
    assert isinstance(checks, list)
    (database,) = [check for check in checks if check["check"] == "database"]
    assert database["state"] == "fail"
    assert "1 transactions" in database["detail"]


def test_a_second_craton_on_the_same_database_is_refused(
    craton: Craton, stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["up", "--engine", "echo", "--port", "0", "--data", str(tmp_path / "other")]
    assert main([*arguments, "--quiet", "--database", stored]) == 1
    assert "another running Craton" in " ".join(capsys.readouterr().err.split())


def test_a_later_start_finds_the_database_and_everything_in_it(
    postgresql: PostgreSqlServer, tmp_path: Path
) -> None:
    first = Craton(tmp_path, engine="echo", database=postgresql.database())
    keys = first.keys
    with client(first) as gpt:
        answer = gpt.responses.create(model=ECHO, input=PROMPT)
    first.process.kill()
    first.close()
    again = Craton(tmp_path, engine="echo")
    assert again.keys == keys
    with client(again) as gpt:
        assert gpt.responses.retrieve(answer.id) == answer
    assert again.close() == 0
    assert not (tmp_path / "craton.db").exists()
