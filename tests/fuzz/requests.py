"""Requests to every wire: valid ones, and the same bent in their documents, paths and credentials.

A request's number and the seed decide all of it but the time of its signature and this run's keys.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tests.fakes.craton import ECHO, Keys
from tests.fuzz import documents, inference_requests, signing
from tests.fuzz.invoke_templates import POLICIES
from tests.fuzz.request import Expected, Request, Sent, head_of, with_document
from tests.fuzz.signing import Header
from tests.fuzz.templates import (
    ANTHROPIC,
    CONVERSE,
    OPENAI,
    PLAIN_ANTHROPIC,
    PLAIN_CONVERSE,
    PLAIN_OPENAI,
)

Json = Any


KINDS = (
    "openai", "responses", "embeddings", "anthropic", "converse", "invoke", "count", "catalogue",
    "sts", "ec2", "native", "elsewhere",
)  # fmt: skip
BINDING = ("budgets", "limits", "policies")
"""Native operations that would have Craton refuse the good requests of this trial, and rightly."""


class Maker:
    """Makes requests; the keys and the native API's document are those of one Craton."""

    def __init__(
        self,
        keys: Keys,
        others: Keys,
        openapi: Json,
        operations: Sequence[tuple[str, str]],
        kinds: Sequence[str] = (),
    ) -> None:
        """`kinds` are those to make, by the names below; none named is all of them."""
        self._keys = keys
        self._others = others
        """An operator's, of another account."""
        self._schemas = openapi["components"]["schemas"]
        self._native = [
            (method.upper(), path, operation)
            for path, item in openapi["paths"].items()
            for method, operation in item.items()
        ]
        self._operations = operations
        """Method and URI of operations that AWS has, built or not."""

        makers: Mapping[str, tuple[int, Callable[[random.Random], Request]]] = {
            "openai": (18, self._openai),
            "responses": (10, inference_requests.response),
            "embeddings": (5, inference_requests.embedding),
            "anthropic": (18, self._anthropic),
            "converse": (20, self._converse),
            "invoke": (16, inference_requests.invocation),
            "count": (5, inference_requests.count),
            "catalogue": (4, self._catalogue),
            "sts": (3, self._identity),
            "ec2": (3, self._regions),
            "native": (14, self._native_operation),
            "elsewhere": (4, self._elsewhere),
        }
        chosen = [makers[kind] for kind in kinds or KINDS]
        self._makers = [maker for _, maker in chosen]
        self._weights = [weight for weight, _ in chosen]

    def make(self, dice: random.Random, *, at_s: float) -> Sent:
        """The next request that these dice show."""
        (maker,) = dice.choices(self._makers, self._weights)
        request = maker(dice)
        if request.wire.startswith(("openai", "anthropic")) and dice.random() < 0.25:
            _put_under_prefix(request, dice)
        if request.expected is not Expected.GOOD:
            if dice.random() < 0.04:
                request.body = documents.spoilt(request.body, dice)
            if dice.random() < 0.03:
                _bend_path(request, dice)
            if dice.random() < 0.01:
                request.method = dice.choice(("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"))
            if dice.random() < 0.03:
                request.headers += (_odd_header(dice),)
        return self._sealed(request, dice, at_s)

    def _sealed(self, request: Request, dice: random.Random, at_s: float) -> Sent:
        """With a credential, as bytes."""
        credential: list[Header] = []
        keys = request.keys or self._keys
        if dice.random() < 0.12:
            request.expected = Expected.REFUSED
            if dice.random() < 0.2:
                request.query = signing.broken_query(request.target, keys, dice, at_s=at_s)
            else:
                credential = signing.broken(request.target, keys, dice, at_s=at_s)
        elif dice.random() < 0.1 and request.service == "bedrock" and "//" not in request.path:
            request.query = signing.presigned(request.target, keys, at_s=at_s, expires_s=900)
            # Operations that take no query refuse a presigned one as they refuse any other.
            request.expected = Expected.ANY
        else:
            credential = signing.good(request.target, keys, dice, at_s=at_s)
        return Sent(
            request.wire,
            request.method,
            request.path,
            head_of(request, credential),
            request.body,
            request.expected,
            any(name == b"anthropic-version" for name, _ in request.headers),
        )

    # The wires.

    def _openai(self, dice: random.Random) -> Request:
        if dice.random() < 0.06:
            return _model_listing("openai", dice)
        request = Request("openai chat", "POST", "/v1/chat/completions")
        return with_document(request, PLAIN_OPENAI, OPENAI, dice)

    def _anthropic(self, dice: random.Random) -> Request:
        version = (b"anthropic-version", b"2023-06-01")
        if dice.random() < 0.06:
            request = _model_listing("anthropic", dice)
        elif dice.random() < 0.75:
            request = Request("anthropic messages", "POST", "/v1/messages")
            request = with_document(request, PLAIN_ANTHROPIC, ANTHROPIC, dice)
        else:
            request = Request("anthropic count", "POST", "/v1/messages/count_tokens")
            plain = {name: PLAIN_ANTHROPIC[name] for name in ("model", "messages")}
            request = with_document(request, plain, ANTHROPIC, dice)
        request.headers = (version,)
        return request

    def _converse(self, dice: random.Random) -> Request:
        model = ECHO
        if dice.random() < 0.06:
            model = dice.choice(("x", "%FF", "..", "%2e%2e", "a%2Fb", "arn%3Aaws%3Abedrock", "é"))
        elif dice.random() < 0.1:
            model = quote(f"arn:aws:bedrock:us-east-1::foundation-model/{ECHO}", safe="")
        verb, wire = dice.choice((("converse", "converse"), ("converse-stream", "converse stream")))
        request = Request(wire, "POST", f"/model/{model}/{verb}")
        request = with_document(request, PLAIN_CONVERSE, CONVERSE, dice)
        if ECHO not in model:
            request.expected = Expected.ANY
        return request

    def _catalogue(self, dice: random.Random) -> Request:
        if dice.random() < 0.5:
            name = dice.choice((ECHO, "x", "%FF", "a" * 3000, "a%00b", "%", "ü"))
            return Request("bedrock catalogue", "GET", f"/foundation-models/{name}")
        names = ("byProvider", "byOutputModality", "byInferenceType", "byCustomizationType", "x")
        words = ("Craton", "TEXT", "IMAGE", "ON_DEMAND", "", "%FF", "a" * 500, "%00", "text", "%")
        pairs = [f"{dice.choice(names)}={dice.choice(words)}" for _ in range(dice.randrange(4))]
        return Request("bedrock catalogue", "GET", "/foundation-models", "&".join(pairs))

    def _identity(self, dice: random.Random) -> Request:
        form = "Action=GetCallerIdentity&Version=2011-06-15"
        request = Request("sts", "POST", "/", service="sts")
        request.content_type = "application/x-www-form-urlencoded; charset=utf-8"
        roll = dice.random()
        if roll < 0.25:
            request.body, request.expected = form.encode(), Expected.GOOD
        elif roll < 0.4:
            request.method, request.query = "GET", form
        elif roll < 0.7:
            request.body = dice.choice(
                (
                    b"", b"Action=", b"Action=GetCallerIdentity", b"Action=AssumeRole",
                    form.encode() * 2, b"&" * 5000, b"Action=%FF", b"Version=2011-06-15",
                    form.encode() + b"&x[]=1&=&", b"Action=GetCallerIdentity&Version=2016-11-15",
                )
            )  # fmt: skip
        else:
            request.body = documents.spoilt(form.encode(), dice)
        return request

    def _regions(self, dice: random.Random) -> Request:
        request = Request("ec2", "POST", "/", service="ec2")
        request.content_type = "application/x-www-form-urlencoded; charset=utf-8"
        action = dice.choice(("DescribeRegions", "DescribeAvailabilityZones"))
        form = f"Action={action}&Version=2016-11-15"
        if dice.random() < 0.2:
            request.body, request.expected = form.encode(), Expected.GOOD
            return request
        names = (
            "RegionName.1", "RegionName", "RegionName.2147483648", "ZoneName.1", "AllRegions",
            "Filter.1.Name", "Filter.1.Value.1", "Filter.2.Value.0", "Filter.1.Name.1", "DryRun",
            "Filter.1", "Filter..Name", "x", "Action", "Version", "ZoneId.-1", "",
        )  # fmt: skip
        words = (
            "us-east-1",
            "true",
            "TRUE",
            "region-name",
            "",
            "%FF",
            "%00",
            "a" * 999,
            "us-*",
            "1",
        )
        for _ in range(dice.randrange(6)):
            form += f"&{dice.choice(names)}={dice.choice(words)}"
        request.body = form.encode()
        if dice.random() < 0.1:
            request.method, request.query, request.body = "GET", form, b""
        elif dice.random() < 0.2:
            request.body = documents.spoilt(request.body, dice)
        return request

    def _native_operation(self, dice: random.Random) -> Request:
        method, path, operation = dice.choice(self._native)
        request = Request(f"native {_resource(path)}", method, path)
        pairs: list[str] = []
        for parameter in operation.get("parameters", ()):
            value = self._sample(parameter["schema"], dice)
            if dice.random() < 0.3:
                value = dice.choice(("%FF", "", "-1", "1e3", "NaN", "a" * 300, "%00", "9" * 30))
            else:
                value = quote(str(value), safe="")
            if parameter["in"] == "path":
                request.path = request.path.replace("{" + parameter["name"] + "}", value or "x")
            elif dice.random() < 0.5:
                pairs.append(f"{parameter['name']}={value}")
        if dice.random() < 0.1:
            pairs.append(dice.choice(("x=1", "=", "&&", "a", "limit=1&limit=2", "%", "x=" * 40)))
        request.query = "&".join(pairs)
        if "requestBody" in operation:
            (media,) = operation["requestBody"]["content"].values()
            is_policy = method == "PUT" and _resource(path) == "policies"
            document = dice.choice(POLICIES) if is_policy else self._sample(media["schema"], dice)
            if dice.random() < 0.8:
                document = documents.bent(document, dice)
            request.body = documents.write(document)
        if any(word in path for word in BINDING):
            self._spare_ourselves(request)
        return request

    def _spare_ourselves(self, request: Request) -> None:
        """Have another account's operator ask, and not about ours: nobody asks a model with it."""
        request.keys = self._others
        for name in (self._keys.account, "default"):
            request.path = request.path.replace(name, "nobody")
            request.body = request.body.replace(name.encode(), b"nobody")

    def _elsewhere(self, dice: random.Random) -> Request:
        """Operations that aren't built, paths that nobody has, and the signals."""
        roll = dice.random()
        if roll < 0.6:
            method, uri = dice.choice(self._operations)
            path, _, query = uri.partition("?")
            segments = [
                dice.choice(("x", "%FF", "a-1")) if part.startswith("{") else part
                for part in path.split("/")
            ]
            request = Request("aws not built", method, "/".join(segments), query)
        else:
            path = dice.choice(
                (
                    "/healthz", "/readyz", "/metrics", "/v1/embeddings", "/v1/responses", "/v1",
                    "/v1/", "/v1/nothing", "/craton", "/craton/v1/", "/craton/v1/docs", "//", "/..",
                    "/model//converse", "/model/a/b/c/converse", "/" + "a/" * 40, "/%2e%2e/", "/%",
                    "/v1/messages/batches", "/favicon.ico", "/v1/models/%FF", "/\xff\xfe",
                )
            )  # fmt: skip
            request = Request("elsewhere", dice.choice(("GET", "POST")), path)
        if request.method in ("POST", "PUT", "PATCH"):
            request.body = documents.write(documents.bent(dice.choice(CONVERSE), dice))
        return request

    def _sample(self, schema: Json, dice: random.Random) -> Any:
        """A value that a schema of the native API's document allows."""
        if "$ref" in schema:
            return self._sample(self._schemas[schema["$ref"].rpartition("/")[2]], dice)
        if "anyOf" in schema:
            return self._sample(dice.choice(schema["anyOf"]), dice)
        if "enum" in schema:
            return dice.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                required = schema.get("required", ())
                return {
                    name: self._sample(member, dice)
                    for name, member in schema.get("properties", {}).items()
                    if name in required or dice.random() < 0.6
                }
            case "array":
                return [self._sample(schema["items"], dice) for _ in range(dice.randrange(3))]
            case "integer":
                return dice.choice((schema.get("minimum", 0), 7, schema.get("maximum", 2**63)))
            case "boolean":
                return dice.random() < 0.5
            case "null":
                return None
            case _:
                return self._word(dice)

    def _word(self, dice: random.Random) -> str:
        number = dice.randrange(40)
        return dice.choice(
            (
                f"fuzz-{number}", f"fuzz.model-{number}", f"key-fuzz{number}", "default", "a b",
                self._keys.account, "http://127.0.0.1:9", "https://[::1]:1", "/dev/zero", "/tmp",
                "/etc/hostname", "\x00", "é" * 90, "A.B", "-", "/v1", "no-such-weights", "",
            )
        )  # fmt: skip


def _model_listing(name: str, dice: random.Random) -> Request:
    request = Request(f"{name} models", "GET", "/v1/models", expected=Expected.GOOD)
    if dice.random() < 0.6:
        model = dice.choice((ECHO, "x", "%FF", "a/b", "%00", "", "a" * 2000, "é", "%2F.."))
        request.path = f"/v1/models/{model}"
        request.expected = Expected.GOOD if model == ECHO else Expected.ANY
    return request


def _resource(path: str) -> str:
    """What a path of the native API is about: its last word that is a collection."""
    words = [part for part in path.split("/")[3:] if not part.startswith("{")]
    return next((word for word in words if word in BINDING), words[0])


def _put_under_prefix(request: Request, dice: random.Random) -> None:
    """OpenAI's and Anthropic's paths mean the same where Bedrock has them."""
    is_anthropic = request.wire.startswith("anthropic")
    request.path = ("/anthropic" if is_anthropic else "/openai") + request.path
    if is_anthropic and dice.random() < 0.5:
        request.headers = ()


def _bend_path(request: Request, dice: random.Random) -> None:
    path = request.path
    at = dice.randrange(1, len(path) + 1)
    piece = dice.choice(("/", "%", "%00", "%FF", "..", "/../", ";", "\xe9", "%2F", "\\", "{", "//"))
    request.path = dice.choice(
        (path[:at] + piece + path[at:], path[:at], path + "/", _upper(path), path + piece)
    )


def _upper(path: str) -> str:
    """In capitals, as far as they are ASCII: that of the last Latin-1 letter is none of Latin-1."""
    return path.encode("latin-1").upper().decode("latin-1")


def _odd_header(dice: random.Random) -> Header:
    return dice.choice(
        (
            (b"content-type", b"text/plain"), (b"content-type", b"\xff"), (b"accept", b"x" * 3000),
            (b"content-encoding", b"gzip"), (b"x-amz-target", b"A.GetCallerIdentity"),
            (b"x-amz-content-sha256", b"0" * 64), (b"anthropic-version", b"\x80"),
            (b"x-amz-date", b"now"), (b"x-forwarded-for", b"::1"), (b"accept-encoding", b"br"),
            (b"x-amzn-trace-id", b""), (b"anthropic-beta", b"a,b" * 99), (b"te", b"trailers"),
            (b"x-amz-target", b"\xff." * 50), (b"range", b"bytes=0-0"), (b"cookie", b"\x7e" * 99),
        )
    )  # fmt: skip
