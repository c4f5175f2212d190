"""A policy document: IAM's JSON, read and checked.

What IAM would refuse is refused here too, with the statement, the member and what to write instead.
Sources: "IAM JSON policy element reference" and "IAM and STS quotas" in the IAM User Guide.
"""

import json
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, NoReturn, cast

import msgspec

from craton.access import policy_values as values
from craton.access.policy_conditions import OPERATORS, Condition, Family, Quantifier
from craton.access.policy_patterns import ARN_PARTS, pieces_of
from craton.kernel.errors import BadRequest

CHARACTERS_MAX = 6144
"""IAM's limit for a managed policy. White space between members doesn't count."""
TEXT_MAX = 65_536
WITH_VARIABLES = "2012-10-17"
VERSIONS = ("2008-10-17", WITH_VARIABLES)

_MEMBERS = ("Version", "Id", "Statement")
_STATEMENT_MEMBERS = (
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition",
)  # fmt: skip
_SID = re.compile(r"[A-Za-z0-9]*")
_ACTION = re.compile(r"\*+|(?:[A-Za-z0-9-]+|\*):[A-Za-z0-9*?-]+")
_KEY = re.compile(r"[A-Za-z0-9-]+:[^\s]([^\n\r\t]*[^\s])?")
_IF_EXISTS = "IfExists"

Json = dict[str, Any]


class Effect(StrEnum):
    """What a statement says of what it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class Statement(msgspec.Struct, frozen=True):
    """One statement. `number` counts from 1."""

    number: int
    sid: str | None
    effect: Effect
    actions: tuple[str, ...]
    is_not_action: bool
    resources: tuple[str, ...]
    is_not_resource: bool
    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """Its Sid if it has one, else its number."""
        return f"statement {self.sid!r}" if self.sid else f"statement {self.number}"


class Document(msgspec.Struct, frozen=True):
    """A whole document that was found good."""

    version: str
    id: str | None
    statements: tuple[Statement, ...]

    @property
    def has_variables(self) -> bool:
        """Whether `${…}` is a variable in it; the old version takes it as text."""
        return self.version == WITH_VARIABLES


def read_document(text: str) -> Document:
    """Read and check a document; BadRequest says which statement and member, and what to do."""
    if len(text) > TEXT_MAX:
        raise BadRequest(f"The policy has {len(text)} characters; {TEXT_MAX} are read at most.")
    try:
        document: object = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except _RepeatedMember as repeated:
        raise BadRequest(
            f"The policy has the member {repeated.name!r} twice in one object. Write it once, with "
            "a list of values."
        ) from None
    except RecursionError:
        raise BadRequest("The policy is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The policy is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest('The policy must be a JSON object with "Version" and "Statement".')
    members = cast("Json", document)
    size = _characters(members)
    if size > CHARACTERS_MAX:
        raise BadRequest(
            f"The policy has {size} characters without white space; the most is {CHARACTERS_MAX}. "
            "Use wildcards, or split it into several policies."
        )
    return _document(members)


def _characters(members: Json) -> int:
    """How long the document is without the white space between its members."""
    try:
        whole = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
        whole.encode()
    except RecursionError:
        raise BadRequest("The policy is nested too deeply.") from None
    except UnicodeEncodeError:
        raise BadRequest("The policy has an escape that stands for half a character.") from None
    return len(whole)


def _document(members: Json) -> Document:
    _check_members("The policy", members, _MEMBERS)
    version = members.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise BadRequest(
            f'The policy\'s "Version" is {_shown(version)}; write "{WITH_VARIABLES}". It is the '
            "version of the language, not yours."
        )
    id = members.get("Id")
    if id is not None and not isinstance(id, str):
        raise BadRequest(f'The policy\'s "Id" is {_shown(id)}; it must be a text.')
    listed = members.get("Statement")
    several: list[object] = cast("list[object]", listed) if isinstance(listed, list) else [listed]
    if listed is None or not several:
        raise BadRequest('The policy has no "Statement". Write one, or a list of them.')
    variables = version == WITH_VARIABLES
    statements = tuple(
        [_Reader(number, variables).statement(one) for number, one in enumerate(several, 1)]
    )
    sids = [statement.sid for statement in statements if statement.sid]
    for sid in sids:
        if sids.count(sid) > 1:
            raise BadRequest(f'Two statements have the "Sid" {sid!r}. Name each differently.')
    return Document(version, id, statements)


class _RepeatedMember(ValueError):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedMember(name)
        found[name] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _check_members(where: str, members: Json, known: Sequence[str]) -> None:
    for name in members:
        if name in known:
            continue
        if name in ("Principal", "NotPrincipal"):
            raise BadRequest(
                f'{where} has "{name}", which belongs into policies of resources. Leave it out: a '
                "policy here is about whatever it is attached to."
            )
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise BadRequest(f"{where} has no member {name!r}.{meant} It has: {', '.join(known)}.")


class _Reader:
    """Reads one statement; each refusal says which."""

    def __init__(self, number: int, variables: bool) -> None:
        self._where = f"Statement {number}"
        self._number = number
        self._variables = variables

    def _refuse(self, why: str) -> NoReturn:
        raise BadRequest(f"{self._where}: {why}")

    def statement(self, value: object) -> Statement:
        if not isinstance(value, dict):
            self._refuse(f"it is {_shown(value)} and must be an object with an Effect.")
        members = cast("Json", value)
        sid = members.get("Sid")
        if sid is not None:
            if not isinstance(sid, str) or not _SID.fullmatch(sid):
                self._refuse(f'"Sid" is {_shown(sid)}; use letters and digits only.')
            self._where += f" ({sid})" if sid else ""
        _check_members(self._where, members, _STATEMENT_MEMBERS)
        effect = members.get("Effect")
        if effect not in ("Allow", "Deny"):
            self._refuse(f'"Effect" is {_shown(effect)}; write "Allow" or "Deny".')
        action = self._one_of(members, "Action", "NotAction")
        resource = self._one_of(members, "Resource", "NotResource")
        return Statement(
            number=self._number,
            sid=sid or None,
            effect=Effect(effect),
            actions=self._texts(members, action, self._check_action),
            is_not_action=action == "NotAction",
            resources=self._texts(members, resource, self._check_resource),
            is_not_resource=resource == "NotResource",
            conditions=self._conditions(members.get("Condition", {})),
        )

    def _one_of(self, members: Json, plain: str, negated: str) -> str:
        present = [name for name in (plain, negated) if name in members]
        if len(present) != 1:
            both = "both" if present else "neither"
            self._refuse(f'it has {both} "{plain}" and "{negated}"; write one of the two.')
        return present[0]

    def _texts(
        self, members: Json, name: str, check: Callable[[str, str], None]
    ) -> tuple[str, ...]:
        value = members[name]
        listed = cast("list[object]", value) if isinstance(value, list) else [value]
        if not listed:
            self._refuse(f'"{name}" is an empty list, which matches nothing. Write at least one.')
        for text in listed:
            if not isinstance(text, str):
                self._refuse(f'"{name}" has {_shown(text)}; it takes a text or a list of texts.')
            check(name, text)
        return tuple(cast("list[str]", listed))

    def _check_action(self, name: str, text: str) -> None:
        if not _ACTION.fullmatch(text):
            self._refuse(
                f'"{name}" has {text!r}; write service:Operation, such as bedrock:InvokeModel, '
                "bedrock:Invoke* or *."
            )

    def _check_resource(self, name: str, text: str) -> None:
        if text != "*" and not text.startswith("arn:"):
            self._refuse(
                f'"{name}" has {text!r}; write * or an ARN, such as '
                "arn:aws:bedrock:*::foundation-model/*."
            )
        self._check_variables(f'"{name}"', text)

    def _check_variables(self, where: str, text: str) -> None:
        if not self._variables:
            return
        try:
            pieces_of(text, wildcards=False, variables=True)
        except ValueError as error:
            self._refuse(f"{where}: {error}.")

    def _conditions(self, value: object) -> tuple[Condition, ...]:
        if not isinstance(value, dict):
            self._refuse(f'"Condition" is {_shown(value)}; it takes operators, keys and values.')
        found: list[Condition] = []
        for name, keys in cast("Json", value).items():
            quantifier, operator, if_exists = self._operator(name)
            by_key = cast("Json", keys) if isinstance(keys, dict) else {}
            if not by_key:
                shown = _shown(cast("object", keys))
                self._refuse(f'"Condition": {name} is {shown}; give it keys with values.')
            for key, given in by_key.items():
                if not _KEY.fullmatch(key):
                    self._refuse(
                        f'"Condition": {name} has the key {key!r}; a key has a prefix, as in '
                        "aws:SourceIp."
                    )
                texts = self._values(name, operator, key, given)
                found.append(Condition(operator, key, texts, quantifier, if_exists))
        return tuple(found)

    def _operator(self, name: str) -> tuple[Quantifier | None, str, bool]:
        prefix, colon, rest = name.partition(":")
        quantifier = None
        if colon:
            if prefix not in (Quantifier.ALL, Quantifier.ANY):
                self._refuse(
                    f'"Condition": {name!r} begins with {prefix!r}; only ForAllValues: and '
                    "ForAnyValue: may stand before an operator."
                )
            quantifier = Quantifier(prefix)
        else:
            rest = name
        if_exists = rest.endswith(_IF_EXISTS)
        operator = rest.removesuffix(_IF_EXISTS)
        if operator not in OPERATORS:
            near = get_close_matches(operator, OPERATORS, n=1, cutoff=0.6)
            meant = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(OPERATORS)}."
            self._refuse(f'"Condition": there is no operator {name!r}. {meant}')
        if operator == "Null" and (quantifier or if_exists):
            self._refuse(f'"Condition": {name!r}: Null takes no prefix and no IfExists.')
        return quantifier, operator, if_exists

    def _values(self, name: str, operator: str, key: str, given: object) -> tuple[str, ...]:
        listed = cast("list[object]", given) if isinstance(given, list) else [given]
        where = f'"Condition": {name}: {key}'
        if not listed:
            self._refuse(f"{where} is an empty list. Write at least one value.")
        texts: list[str] = []
        for value in listed:
            if isinstance(value, bool):
                text = "true" if value else "false"
            elif isinstance(value, str | int | float):
                text = str(value)
            else:
                self._refuse(f"{where} has {_shown(value)}; a value is a text, a number or a bool.")
            self._check_value(where, OPERATORS[operator].family, text)
            texts.append(text)
        return tuple(texts)

    def _check_value(self, where: str, family: Family, text: str) -> None:
        if family in (Family.TEXT, Family.ARN):
            self._check_variables(where, text)
        if family is Family.ARN and not _looks_like_arn(text, variables=self._variables):
            self._refuse(
                f"{where} has {text!r}, which is no ARN: write * or six parts, as in "
                "arn:aws:bedrock:*:*:inference-profile/*."
            )
        reader = _READERS.get(family)
        if reader is not None and reader[0](text) is None:
            self._refuse(f"{where} has {text!r}, which is not {family}: {reader[1]}.")


def _looks_like_arn(text: str, *, variables: bool) -> bool:
    if variables and "${" in text:
        return True
    return text == "*" or (text.startswith(("arn:", "*:")) and text.count(":") >= ARN_PARTS - 1)


_READERS: dict[Family, tuple[Callable[[str], object], str]] = {
    Family.NUMBER: (values.number, "write digits, such as 10 or 0.5"),
    Family.MOMENT: (values.moment, "write 2030-01-31T12:00:00Z, or seconds since the epoch"),
    Family.BOOLEAN: (values.boolean, 'write "true" or "false"'),
    Family.PRESENCE: (values.boolean, 'write "true" (absent) or "false" (present)'),
    Family.BINARY: (values.binary, "encode the bytes as base64"),
    Family.ADDRESS: (values.network, "write an address or a range, such as 10.0.0.0/8"),
}
