"""`craton env`: the variables that point unchanged programs at this Craton."""

import os
import shlex
from collections.abc import Mapping
from urllib.parse import urlsplit

from craton.cli.installation import Installation, Trust, read_installation
from craton.cli.options import DATA, AsJson, CredentialsOf, Data
from craton.cli.output import print_json, print_lines

IN_THE_WAY = (
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "ANTHROPIC_AUTH_TOKEN",
)
"""What an SDK would send instead of, or beside, the keys set here."""
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY")


def env(
    data: Data = DATA,
    account: CredentialsOf = None,
    as_json: AsJson = False,
) -> None:
    """Print the variables that point boto3, OpenAI and Anthropic programs at this Craton."""
    installation = read_installation(data)
    variables = variables_of(installation, account)
    if as_json:
        print_json(variables)
    else:
        print_lines(*shell_lines(variables, os.environ))


def variables_of(installation: Installation, account: str | None) -> dict[str, str]:
    """The variables by name."""
    key, endpoint = installation.key(account), installation.endpoint
    url = endpoint.public_url
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_REGION": endpoint.region,
        "AWS_DEFAULT_REGION": endpoint.region,  # the one that boto3 reads
        "OPENAI_BASE_URL": url + "/v1",
        "OPENAI_API_KEY": key.api_key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key.api_key,
        **_authorities(endpoint.trust or Trust()),
    }


def _authorities(trust: Trust) -> dict[str, str]:
    """What makes programs trust the local authority: most take one file for all they trust."""
    if not trust.authority:
        return {}
    replaced = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    return {**dict.fromkeys(replaced, trust.bundle), "NODE_EXTRA_CA_CERTS": trust.authority}


def shell_lines(variables: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Lines for a shell to evaluate; what would get in the way and is present is cleared."""
    host = urlsplit(variables["OPENAI_BASE_URL"]).hostname or ""
    every = {**variables, **_without_proxy(host, present)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in every.items()]
    return lines + [f"unset {name}" for name in IN_THE_WAY if name in present]


def _without_proxy(host: str, present: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep SDKs from asking a proxy for this Craton; none without a proxy."""
    if not any(name in present for name in PROXIES):
        return {}
    excepted = present.get("no_proxy") or present.get("NO_PROXY") or ""
    if host in (name.strip() for name in excepted.split(",")):
        return {}
    value = f"{excepted},{host}".lstrip(",")
    return {"NO_PROXY": value, "no_proxy": value}
