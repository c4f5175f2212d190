"""Compiled policies of one caller, and what they decide.

A caller is bound by up to three levels: its account's, its project's and its key's policies. A
statement that denies decides at once, at whatever level it stands; else every level that has
policies must have a statement that allows. `decisions/0011-policies.md` has the reasons.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from craton.access.policy_conditions import Holds, compile_condition
from craton.access.policy_document import Document, Effect, Statement
from craton.access.policy_patterns import Facts, Patterns, Style
from craton.access.records import Level

KNOWN_MAX = 10_000
"""Actions on resources that are remembered for each caller, with what is known about them."""


OWN_ACTIONS = "craton:"
"""What the actions of Craton's own API begin with."""


class Decision(msgspec.Struct, frozen=True):
    """What was decided, and by what.

    `level` is where it was decided: the one of the statement that denied, or the first that has no
    statement that allows; None if no policy has a say.
    """

    is_allowed: bool
    is_explicit: bool = False
    level: Level | None = None
    policy: str | None = None
    statement: str | None = None


ALLOWED = Decision(is_allowed=True)


class CompiledStatement:
    """A statement ready to be asked."""

    __slots__ = (
        "_actions",
        "_is_not_action",
        "_is_not_resource",
        "_resources",
        "conditions",
        "effect",
        "keys",
        "name",
    )

    def __init__(self, statement: Statement, *, variables: bool) -> None:
        self.effect = statement.effect
        self.name = statement.name
        self._actions = Patterns(statement.actions, Style.LIKE_ANY_CASE, variables=False)
        self._is_not_action = statement.is_not_action
        self._resources = Patterns(statement.resources, Style.ARN, variables=variables)
        self._is_not_resource = statement.is_not_resource
        conditions = [compile_condition(c, variables=variables) for c in statement.conditions]
        self.conditions = tuple([condition.holds for condition in conditions])
        self.keys = self._resources.keys.union(*[condition.keys for condition in conditions])
        """Condition keys that it reads."""

    def is_about(self, action: str) -> bool:
        """Whether it says anything of an action."""
        return self._actions.matches(action, _NO_FACTS) is not self._is_not_action

    @property
    def reads_resource(self) -> bool:
        """Whether its resources have variables, so that each request must be compared anew."""
        return bool(self._resources.keys)

    def covers(self, resource: str, facts: Facts) -> bool:
        """Whether its resources match."""
        if self._is_not_resource:
            # A variable without a value: IAM lets the element match no resource at all.
            return self._resources.differs(resource, facts)
        return self._resources.matches(resource, facts)


_NO_FACTS: Facts = dict[str, str]()


class CompiledPolicy:
    """A document ready to be asked, under the name it was attached by."""

    __slots__ = ("name", "statements")

    def __init__(self, name: str, document: Document) -> None:
        self.name = name
        self.statements = tuple(
            [
                CompiledStatement(statement, variables=document.has_variables)
                for statement in document.statements
            ]
        )


@dataclass(frozen=True, slots=True)
class _Ruling:
    """One statement about an action on a resource, and what is decided if it applies."""

    conditions: tuple[Holds, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Rules:
    """All statements about one action on one resource."""

    denying: tuple[_Ruling, ...]
    allowing: tuple[tuple[Level, tuple[_Ruling, ...]], ...]
    """For each level that has policies, the statements that could allow."""
    is_stable: bool
    """Whether they always decide the same."""


Attached = Sequence[tuple[Level, Sequence[CompiledPolicy]]]


class PolicySet:
    """The policies that bind one caller."""

    def __init__(
        self, attached: Attached, *, varying: Collection[str] = (), is_operator: bool = False
    ) -> None:
        """`varying` are the keys whose values may differ between two requests of the caller."""
        self._attached = [(level, policies) for level, policies in attached if policies]
        self._varying = frozenset(varying)
        self._is_operator = is_operator
        self._rules: dict[tuple[str, str], _Rules] = {}
        self._decisions: dict[tuple[str, str], Decision] = {}

    def known(self, action: str, resource: str) -> Decision | None:
        """A decision made before that no fact of the request can change."""
        return self._decisions.get((action, resource))

    def decide(self, action: str, resource: str, facts: Facts) -> Decision:
        """Whether the caller may do something to a resource."""
        rules = self._rules.get((action, resource))
        if rules is None:
            if len(self._rules) >= KNOWN_MAX:
                self._rules.clear()
                self._decisions.clear()
            rules = self._rules[action, resource] = self._rules_about(action, resource)
        decision = _decide(rules, facts)
        if rules.is_stable:
            self._decisions[action, resource] = decision
        return decision

    def _rules_about(self, action: str, resource: str) -> _Rules:
        """The statements that are left when all that is certain of them has been looked at."""
        denying: list[_Ruling] = []
        allowing: list[tuple[Level, tuple[_Ruling, ...]]] = []
        keys: set[str] = set()
        for level, policies in self._attached:
            if self._is_operator and level is not Level.KEY and action.startswith(OWN_ACTIONS):
                continue  # guard rails are what operators are there to set, and to repair
            allowing_here: list[_Ruling] = []
            for policy in policies:
                for statement in policy.statements:
                    if not statement.is_about(action):
                        continue
                    conditions = statement.conditions
                    if statement.reads_resource:
                        conditions = (_covering(statement, resource), *conditions)
                    elif not statement.covers(resource, _NO_FACTS):
                        continue
                    keys |= statement.keys
                    is_allowed = statement.effect is Effect.ALLOW
                    ruling = _Ruling(
                        conditions,
                        Decision(is_allowed, not is_allowed, level, policy.name, statement.name),
                    )
                    (allowing_here if is_allowed else denying).append(ruling)
            allowing.append((level, tuple(allowing_here)))
        return _Rules(tuple(denying), tuple(allowing), keys.isdisjoint(self._varying))


def _covering(statement: CompiledStatement, resource: str) -> Holds:
    return lambda facts: statement.covers(resource, facts)


def _decide(rules: _Rules, facts: Facts) -> Decision:
    for ruling in rules.denying:
        if _applies(ruling, facts):
            return ruling.decision
    decision = ALLOWED
    for level, rulings in rules.allowing:
        for ruling in rulings:
            if _applies(ruling, facts):
                decision = ruling.decision
                break
        else:
            return Decision(is_allowed=False, level=level)
    return decision


def _applies(ruling: _Ruling, facts: Facts) -> bool:
    for holds in ruling.conditions:  # noqa: SIM110 - a generator costs more than the loop
        if not holds(facts):
            return False
    return True
