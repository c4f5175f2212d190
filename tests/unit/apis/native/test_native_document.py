import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from craton.access.policy import ADMINISTER
from craton.apis.native.endpoints import OPERATIONS
from craton.apis.native.wire import STATUS
from tests.unit.apis.native.native_api import Api

DOCUMENT = "/craton/v1/openapi.json"


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*(references(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(references(v) for v in value))
    return set()


async def test_the_document_describes_every_route_and_no_other(api: Api) -> None:
    document = (await api("GET", DOCUMENT, key=None)).json()
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    served = {(method, path.decode()) for method, path in api.exact}
    served |= {(o.method, "/craton/v1" + o.path) for o in OPERATIONS}
    assert described == served


async def test_every_reference_of_the_document_is_defined_and_every_definition_used(
    api: Api,
) -> None:
    document = (await api("GET", DOCUMENT, key=None)).json()
    defined = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == defined


async def test_operation_ids_are_unique_and_path_members_are_parameters(api: Api) -> None:
    document = (await api("GET", DOCUMENT, key=None)).json()
    seen = set()
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert in_path == {s[1:-1] for s in path.split("/") if s.startswith("{")}


async def test_the_document_names_limits_and_what_needs_an_operator(api: Api) -> None:
    paths = (await api("GET", DOCUMENT, key=None)).json()["paths"]
    limit = next(p for p in paths["/craton/v1/usage"]["get"]["parameters"] if p["name"] == "limit")
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 1000)
    assert paths["/craton/v1/keys"]["post"]["x-craton-action"] == ADMINISTER
    assert "operator" in paths["/craton/v1/keys"]["post"]["description"]
    assert "description" not in paths["/craton/v1/keys"]["get"]


async def test_answers_have_the_members_the_document_names(api: Api) -> None:
    document = (await api("GET", DOCUMENT, key=None)).json()
    schema = document["components"]["schemas"]["KeyView"]
    for key in (await api("GET", "/craton/v1/keys")).json()["keys"]:
        assert set(key) == set(schema["properties"])


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        if tag in ("script", "img", "link", "iframe") or "src" in values:
            self.loads.append(tag)
        if tag != "meta" and not tag.startswith("!"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_is_whole_has_every_operation_and_loads_nothing(api: Api) -> None:
    answer = await api("GET", "/craton/v1/docs", key=None)
    assert answer.headers[b"content-type"].startswith(b"text/html")
    assert b"default-src 'none'" in answer.headers[b"content-security-policy"]
    page = _Page()
    page.feed(answer.body.decode())
    assert page.open == []
    assert page.loads == []
    assert len(page.ids) == len(set(page.ids))
    assert {o.name for o in OPERATIONS} <= set(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert [link for link in page.links if not link.startswith("#")] == [DOCUMENT]


async def test_the_page_shows_a_line_to_try_for_each_operation(api: Api) -> None:
    text = (await api("GET", "/craton/v1/docs", key=None)).body.decode()
    assert text.count("curl -sS") == len(OPERATIONS) + 2
    assert "-X DELETE" in text


def test_each_operation_is_declared_once() -> None:
    routes = [(o.method, o.path) for o in OPERATIONS]
    assert len(routes) == len(set(routes))
    assert len({o.name for o in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        fields = {f.name for f in msgspec.structs.fields(operation.takes)}
        assert {s[1:-1] for s in operation.segments if s.startswith("{")} <= fields


def test_the_written_page_lists_every_operation_and_status() -> None:
    text = (Path(__file__).parents[4] / "docs" / "native-api.md").read_text(encoding="utf-8")
    for operation in OPERATIONS:
        needs = "operator" if operation.action == ADMINISTER else "any key"
        row = f"| `{operation.method} {operation.path}` | {operation.summary} | {needs} |"
        assert row in text
    for fault, status in STATUS.items():
        assert re.search(rf"^\| {status} \|.*`{fault}`", text, re.MULTILINE), fault
