"""Short-term Bedrock API keys, signed by botocore in the form that AWS's generator gives them."""

import base64

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOST = "bedrock.amazonaws.com"


def bedrock_token(
    access_key_id: str,
    secret: str,
    *,
    expires_s: int = 43_200,
    action: str = "CallWithBearerToken",
    service: str = "bedrock",
    host: str = HOST,
    session: str | None = None,
    region: str = "us-east-1",
) -> str:
    request = AWSRequest("POST", f"https://{host}/", {"host": host}, params={"Action": action})
    credentials = Credentials(access_key_id, secret, session)
    SigV4QueryAuth(credentials, service, region, expires=expires_s).add_auth(request)
    return wrapped(request.url.removeprefix("https://") + "&Version=1")


def wrapped(url: str) -> str:
    return "bedrock-api-key-" + base64.b64encode(url.encode()).decode()
