"""The OpenAPI document as one page to read: plain HTML without scripts or anything from elsewhere.

Made from the document alone, so that the page says what a generated client sees.
"""

import hashlib
from base64 import b64encode
from html import escape
from typing import Any

import msgspec

from craton.apis.native.operation import DOCUMENT, JSON_TYPE

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0;
  padding: .5rem .8rem; }
summary { cursor: pointer; } summary code { font-weight: 600; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; border-left: 3px solid var(--line); padding: .5rem .8rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  padding: .2rem .6rem .2rem 0; }
.quiet { opacity: .75; }
"""

_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
)
"""The page's Content-Security-Policy: nothing may be loaded and no script may run."""


def html(document: Json) -> str:
    """The page."""
    parts = [_head(document["info"])]
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(
                _operation(document, path, method.upper(), operation)
            )
    for tag, sections in by_tag.items():
        parts.append(f'<h2 id="{escape(tag)}">{escape(tag.capitalize())}</h2>' + "".join(sections))
    parts.append("<h2>What is sent and returned</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(_schema(name, schema))
    parts.append("</body></html>")
    return "".join(parts)


def _head(info: Json) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(info['title'])} API</h1>"
        f'<p class="quiet">{escape(info["description"])} '
        f'For programs: <a href="{DOCUMENT}">openapi.json</a>.</p>'
        "<p>Send an API key as <code>Authorization: Bearer …</code>. "
        '<code>eval "$(craton env)"</code> puts yours into <code>OPENAI_API_KEY</code> and the '
        "address into <code>ANTHROPIC_BASE_URL</code>, which the lines below use.</p>"
    )


def _operation(document: Json, path: str, method: str, operation: Json) -> str:
    rows = [
        (parameter["name"], _kind(parameter["schema"]), _text_of(parameter))
        for parameter in operation.get("parameters", [])
    ]
    body = operation.get("requestBody")
    reads = _media_schema(body) if body else None
    answers = [
        f"<li><code>{status}</code> {_answer_kind(answer)}</li>"
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    ]
    described = operation.get("description", "")
    return (
        f'<details id="{operation["operationId"]}"><summary><code>{method} {escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>"
        + (f"<p>{escape(described)}</p>" if described else "")
        + _table(rows)
        + (f"<p>Body: {_kind(reads)}</p>" if reads else "")
        + f"<p>Answers:</p><ul>{''.join(answers)}</ul>"
        + f"<p>Try it:</p><pre>{escape(curl(document, path, method, operation))}</pre></details>"
    )


def curl(document: Json, path: str, method: str, operation: Json) -> str:
    """A command line that calls an operation."""
    line = "curl -sS"
    if method != "GET":
        line += f" -X {method}"
    if operation.get("security") != []:
        line += ' -H "authorization: Bearer $OPENAI_API_KEY"'
    if "requestBody" in operation:
        (media_type,) = operation["requestBody"]["content"]
        example = msgspec.json.encode(_example(document, _media_schema(operation["requestBody"])))
        body = f"-d '{example.decode()}'" if media_type == JSON_TYPE else "--data-binary @FILE"
        line += f" -H 'content-type: {media_type}' {body}"
    return f'{line} "$ANTHROPIC_BASE_URL{path}"'


def _example(document: Json, schema: Json) -> Any:  # noqa: ANN401 - any JSON value
    """A value with the required members of a schema, to be filled in."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _example(document, document["components"]["schemas"][name])
    if "anyOf" in schema:
        return _example(document, schema["anyOf"][0])
    if schema.get("type") == "object":
        wanted = [*schema.get("required", [])]
        members = schema.get("properties", {})
        return {name: _example(document, members[name]) for name in members if name in wanted}
    if "enum" in schema:
        return schema["enum"][0]
    examples: dict[str, Any] = {"integer": 1, "array": [], "boolean": False}
    return examples.get(schema.get("type", ""), "…")


def _schema(name: str, schema: Json) -> str:
    required = set(schema.get("required", []))
    rows = [
        (
            member,
            _kind(definition)
            + ("" if member in required else ' <span class="quiet">may be left out</span>'),
            _text_of({"schema": definition}),
        )
        for member, definition in schema.get("properties", {}).items()
    ]
    values = ", ".join(f"<code>{escape(str(v))}</code>" for v in schema.get("enum", []))
    return (
        f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>'
        f"<p>{escape(schema.get('description', ''))}</p>"
        + (f"<p>One of {values}.</p>" if values else "")
        + _table(rows)
    )


def _table(rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{text}</td></tr>"
        for name, kind, text in rows
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _kind(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(v))}</code>" for v in schema["enum"])
    return escape(str(schema.get("type", "any")))


def _text_of(parameter: Json) -> str:
    schema: Json = parameter["schema"]
    parts = [escape(schema.get("description", ""))]
    if schema.get("minimum") is not None and schema.get("maximum") is not None:
        parts.append(f"{schema['minimum']} to {schema['maximum']}.")
    if schema.get("default") is not None:
        parts.append(f"Else {escape(msgspec.json.encode(schema['default']).decode())}.")
    if parameter.get("in") == "path":
        parts.append("In the path, percent-encoded.")
    return " ".join(part for part in parts if part)


def _media_schema(content_holder: Json) -> Json:
    (media,) = content_holder["content"].values()
    return media["schema"]


def _answer_kind(answer: Json) -> str:
    return _kind(_media_schema(answer))
