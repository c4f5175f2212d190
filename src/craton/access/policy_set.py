"""Compiled policies of one caller, and what they decide.

A caller is bound by up to three levels: its account's, its project's and its key's policies. A
statement that denies decides at once, at whatever level it stands; else every level that has
policies must have a statement that allows. `decisions/0011-policies.md` has the reasons.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from craton.access.policy_conditions import compile_condition
from craton.access.policy_document import Document, Effect, Statement
from craton.access.policy_patterns import Facts, Patterns, Style
from craton.access.records import Level

ACTIONS_MAX = 1000
"""Actions remembered with the statements about them; callers can't invent new ones."""
DECISIONS_MAX = 10_000


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
        "_actions", "_conditions", "_is_not_action", "_is_not_resource", "_resources", "effect",
        "keys", "name",
    )  # fmt: skip

    def __init__(self, statement: Statement, *, variables: bool) -> None:
        self.effect = statement.effect
        self.name = statement.name
        self._actions = Patterns(statement.actions, Style.LIKE_ANY_CASE, variables=False)
        self._is_not_action = statement.is_not_action
        self._resources = Patterns(statement.resources, Style.ARN, variables=variables)
        self._is_not_resource = statement.is_not_resource
        conditions = [compile_condition(c, variables=variables) for c in statement.conditions]
        self._conditions = tuple([condition.holds for condition in conditions])
        self.keys = self._resources.keys.union(*[condition.keys for condition in conditions])
        """Condition keys that it reads."""

    def is_about(self, action: str) -> bool:
        """Whether it says anything of an action."""
        return self._actions.matches(action, _NO_FACTS) is not self._is_not_action

    def applies(self, resource: str, facts: Facts) -> bool:
        """Whether its resource and all its conditions match."""
        if self._is_not_resource:
            # A variable without a value: IAM lets the element match no resource at all.
            if not self._resources.differs(resource, facts):
                return False
        elif not self._resources.matches(resource, facts):
            return False
        for holds in self._conditions:  # noqa: SIM110 - a generator costs more than the loop
            if not holds(facts):
                return False
        return True


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
    """One statement about an action, and what is decided if it applies."""

    statement: CompiledStatement
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Rules:
    """All statements about one action."""

    denying: tuple[_Ruling, ...]
    allowing: tuple[tuple[Level, tuple[_Ruling, ...]], ...]
    """For each level that has policies, the statements that could allow."""
    is_stable: bool
    """Whether the same action on the same resource is always decided the same."""


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
        self._rules: dict[str, _Rules] = {}
        self._decisions: dict[tuple[str, str], Decision] = {}

    def known(self, action: str, resource: str) -> Decision | None:
        """A decision made before that no fact of the request can change."""
        return self._decisions.get((action, resource))

    def decide(self, action: str, resource: str, facts: Facts) -> Decision:
        """Whether the caller may do something to a resource."""
        rules = self._rules.get(action)
        if rules is None:
            if len(self._rules) >= ACTIONS_MAX:
                self._rules.clear()
            rules = self._rules[action] = self._rules_about(action)
        decision = _decide(rules, resource, facts)
        if rules.is_stable:
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            self._decisions[action, resource] = decision
        return decision

    def _rules_about(self, action: str) -> _Rules:
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
                    keys |= statement.keys
                    is_allowed = statement.effect is Effect.ALLOW
                    ruling = _Ruling(
                        statement,
                        Decision(is_allowed, not is_allowed, level, policy.name, statement.name),
                    )
                    (allowing_here if is_allowed else denying).append(ruling)
            allowing.append((level, tuple(allowing_here)))
        return _Rules(tuple(denying), tuple(allowing), keys.isdisjoint(self._varying))


def _decide(rules: _Rules, resource: str, facts: Facts) -> Decision:
    for ruling in rules.denying:
        if ruling.statement.applies(resource, facts):
            return ruling.decision
    decision = ALLOWED
    for level, rulings in rules.allowing:
        for ruling in rulings:
            if ruling.statement.applies(resource, facts):
                decision = ruling.decision
                break
        else:
            return Decision(is_allowed=False, level=level)
    return decision
