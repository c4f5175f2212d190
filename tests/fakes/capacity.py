"""A Craton with a simulated fleet, and what calls its EC2 operations: boto3, for some account."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from craton.cli.main import main
from tests.fakes.craton import Craton

EXAMPLE = Path(__file__).parents[2] / "examples" / "ultraserver.toml"
REGION = "us-east-1"


def craton_with_fleet(data: Path) -> Craton:
    """One of its own: what others expect of a shared one must stay as it is."""
    running = Craton(data, engine="echo")
    assert main(["fleet", "apply", str(EXAMPLE), "--data", str(running.data)]) == 0
    return running


def native(craton: Craton) -> Connection:
    """The native API, for the operator."""
    return Connection(craton.url, craton.keys.api_key, timeout_s=30)


def new_key(craton: Craton, name: str, account: str | None = None) -> NewKey:
    """A key of a new account of that name, or of one that is there."""
    operator = native(craton)
    if account is None:
        account = operator.post("/accounts", dict[str, Any], {"name": name})["id"]
    return operator.post("/keys", NewKey, {"name": name, "account": account})


def ec2_client(craton: Craton, key: NewKey | None = None) -> Any:
    """boto3's client, for the operator or with a key."""
    keys = craton.keys
    return boto3.client(
        "ec2",
        endpoint_url=craton.url,
        region_name=REGION,
        aws_access_key_id=keys.access_key_id if key is None else key.access_key_id,
        aws_secret_access_key=keys.secret_access_key if key is None else key.secret_access_key,
        config=Config(retries={"max_attempts": 0}),
    )


def refused(call: Any, **params: Any) -> tuple[str, int, str]:
    """The code, status and message of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    error = response["Error"]
    return error["Code"], response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


def tags_of(thing: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}
