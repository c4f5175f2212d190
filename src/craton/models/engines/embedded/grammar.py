"""Grammars in GBNF, the notation of llama.cpp and, in what is used of it here, of XGrammar.

    rule ::= "text" [a-z] (one | other){2,5} rule

A grammar is made of fragments: a schema's nodes become rules, and whoever asked writes rules of
its own around them. JSON is written with one space after a colon or comma and no other, so that a
model can't ramble between tokens. Rules are built so that a decoder is rarely at two places.
"""

from math import isqrt
from typing import Any

import msgspec

from craton.kernel.errors import Unsupported
from craton.models.engines.embedded.grammar_automaton import Automaton, of_words
from craton.models.engines.embedded.grammar_automaton_text import (
    characters,
    in_string,
    literal,
    write_automaton,
)
from craton.models.engines.embedded.grammar_keywords import is_list, is_object
from craton.models.engines.embedded.grammar_nodes import (
    Anything,
    Array,
    Literals,
    Node,
    Numbers,
    Object,
    Schema,
    Strings,
    Union,
)
from craton.models.engines.embedded.grammar_numbers import digits

GRAMMAR_CHARACTERS_MAX = 400_000
"""Longest grammar: llama.cpp reads one of this length in 50 ms, once for each answer."""
LITERALS_APART_MAX = 8
"""Most literals written side by side; more become a tree, so that few are held open at once."""
ITEMS_MAX = 1000
"""Most items told apart where the number of items is limited."""

_COMMON = {
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ( string ": " value ( ", " string ": " value )* )? "}"',
    "array": '"[" ( value ( ", " value )* )? "]"',
    "string": '"\\"" char* "\\""',
    "char": '[^"\\\\\\x00-\\x1F\\x7F-\\x9F] | "\\\\" escape',
    # Halves of surrogate pairs are left out: alone they are no text.
    "escape": '["\\\\/bfnrt] | "u" ( [0-9A-CEFa-cef] hex hex hex | [Dd] [0-7] hex hex )',
    "hex": "[0-9A-Fa-f]",
    "number": '"-"? ( "0" | [1-9] [0-9]{0,14} ) ( "." [0-9]{1,15} )? ( [eE] [-+]? [0-9]{1,2} )?',
    "boolean": '"true" | "false"',
    "null": '"null"',
}
_USES = {
    "value": ("object", "array", "string", "number", "boolean", "null"),
    "object": ("string", "value"),
    "array": ("value",),
    "string": ("char",),
    "char": ("escape",),
    "escape": ("hex",),
}


class Grammar:
    """A grammar under construction; `text` is its notation, with `root` as the first rule."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._size = 0
        self._count = 0

    def new(self) -> str:
        """A name for a rule that no other has."""
        self._count += 1
        return f"r{self._count}"

    def add(self, name: str, body: str) -> None:
        """Add a rule; Unsupported where the grammar gets too large."""
        assert name not in self._rules, f"rule {name} was written twice"
        self._rules[name] = body
        self._size += len(name) + len(body) + 6
        if self._size > GRAMMAR_CHARACTERS_MAX:
            raise Unsupported(
                "The schemas of this request can't be served: their grammar has more than "
                f"{GRAMMAR_CHARACTERS_MAX} characters. Make them smaller or offer fewer tools."
            )

    def common(self, name: str) -> str:
        """The name of a common rule of JSON, which is added where it isn't yet."""
        if name not in self._rules:
            self.add(name, _COMMON[name])
            for each in _USES.get(name, ()):
                self.common(each)
        return name

    def schema(self, schema: Schema) -> str:
        """Add the rules of a schema; the name of its first."""
        return _Writer(self, schema).rule(schema.root)

    def text(self, root: str) -> str:
        """The whole grammar, with the expression that everything must match."""
        return "\n".join([f"root ::= {root}", *(f"{n} ::= {b}" for n, b in self._rules.items())])


def write_json(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """JSON as these grammars have it: a space after each colon and comma."""
    if is_object(value):
        return "{" + ", ".join(f"{_text(k)}: {write_json(v)}" for k, v in value.items()) + "}"
    if is_list(value):
        return "[" + ", ".join(write_json(each) for each in value) + "]"
    return _text(value)


def _text(value: Any) -> str:  # noqa: ANN401 - a JSON value
    return msgspec.json.encode(value).decode()


class _Writer:
    """Writes the nodes of one schema."""

    def __init__(self, grammar: Grammar, schema: Schema) -> None:
        self._grammar = grammar
        self._nodes = schema.nodes
        self._names: dict[int, str] = {}
        self._automata: dict[int, str] = {}

    def rule(self, place: int) -> str:
        """The rule of a node, which is written where it isn't yet."""
        if place not in self._names:
            node = self._nodes[place]
            if isinstance(node, Anything):
                self._names[place] = self._grammar.common("value")
            elif node == Strings():
                self._names[place] = self._grammar.common("string")
            else:
                self._names[place] = name = self._grammar.new()
                self._grammar.add(name, self._body(node))
        return self._names[place]

    def _body(self, node: Node) -> str:
        match node:
            case Anything():
                return self._grammar.common("value")
            case Literals(values=values):
                return self._literals([write_json(value) for value in values])
            case Strings(language=None):
                return self._counted_string(node)
            case Strings(language=Automaton() as language):
                return f'"\\"" {self._language(language)}'
            case Numbers():
                return digits(node)
            case Array():
                return self._array(node)
            case Object():
                return self._object(node)
            case Union(alternatives=alternatives):
                return " | ".join(dict.fromkeys(self.rule(place) for place in alternatives))
            case _:
                raise AssertionError("every kind of node has a body")

    def _literals(self, texts: list[str]) -> str:
        assert texts, "a node that nothing satisfies was kept"
        if len(texts) <= LITERALS_APART_MAX:
            return " | ".join(literal(text) for text in texts)
        return write_automaton(
            of_words(texts),
            new=self._grammar.new,
            add=self._grammar.add,
            end="",
            letters=characters,
        )

    def _language(self, language: Automaton) -> str:
        """The rule of a language's strings and the quotation mark that ends them."""
        if id(language) not in self._automata:
            self._automata[id(language)] = write_automaton(
                language,
                new=self._grammar.new,
                add=self._grammar.add,
                end='"\\""',
                letters=in_string,
            )
        return self._automata[id(language)]

    def _counted_string(self, node: Strings) -> str:
        char = self._grammar.common("char")
        parts = [_exactly(char, node.shortest)]
        if node.longest is None:
            parts.append(f"{char}*")
        else:
            parts.append(_at_most(char, node.longest - node.shortest))
        return " ".join(['"\\""', *(part for part in parts if part), '"\\""'])

    # --- arrays ---------------------------------------------------------------------------------

    def _array(self, node: Array) -> str:
        if node.is_unique and node.longest != 1 and node.rest is not None:
            listed = self._nodes[node.rest]
            assert isinstance(listed, Literals), "unique items are listed"
            return self._selection(node, [write_json(value) for value in listed.values])
        longest = node.longest
        first = len(node.first)
        tail = ""
        if node.rest is not None:
            rest = self.rule(node.rest)
            if first == 0:
                return self._plain_array(rest, node.shortest, longest)
            most = None if longest is None else longest - first
            tail = _repeated(f'", " {rest}', max(node.shortest - first, 0), most)
        # Nested from the end: past `shortest`, the list may end after each item.
        body = tail
        for index in range(first - 1, -1, -1):
            item = ("" if index == 0 else '", " ') + self.rule(node.first[index])
            body = f"{item} {body}".rstrip()
            if index >= node.shortest:
                body = f"( {body} )?"
        return f'"[" {body} "]"' if body else '"[]"'

    @staticmethod
    def _plain_array(item: str, shortest: int, longest: int | None) -> str:
        if longest == 0:
            return '"[]"'
        most = None if longest is None else longest - 1
        more = _repeated(f'", " {item}', max(shortest - 1, 0), most)
        body = f"{item} {more}".rstrip()
        return f'"[" {body} "]"' if shortest else f'"[" ( {body} )? "]"'

    def _selection(self, node: Array, texts: list[str]) -> str:
        """Some of the listed items, each at most once, in the order of the list."""
        longest = len(texts) if node.longest is None else min(node.longest, len(texts))
        names: dict[tuple[int, int], str] = {}

        def after(index: int, count: int) -> str:
            """What may follow once `count` items were taken, all before `index`."""
            if (index, count) not in names:
                names[index, count] = name = self._grammar.new()
                choices = ['"]"'] if count >= node.shortest else []
                if count < longest:
                    comma = '", "' if count else ""
                    choices += [
                        f"{comma} {literal(texts[number])} {after(number + 1, count + 1)}"
                        for number in range(index, len(texts))
                        if count + len(texts) - number >= node.shortest
                    ]
                self._grammar.add(name, " | ".join(choice.strip() for choice in choices))
            return names[index, count]

        return f'"[" {after(0, 0)}'

    # --- objects --------------------------------------------------------------------------------

    def _object(self, node: Object) -> str:
        return _ObjectWriter(self._grammar, self, node).body()

    def extra_name(self, language: Automaton | None) -> str:
        """The name of a property that isn't declared, with its quotation marks but the first."""
        if language is None:
            char = self._grammar.common("char")
            return f'{char}* "\\""'
        return self._language(language)


class _ObjectWriter:
    """Writes one object: declared properties in order, those that may be missing or not; extras."""

    def __init__(self, grammar: Grammar, writer: _Writer, node: Object) -> None:
        self._grammar = grammar
        self._writer = writer
        self._node = node
        self._names: dict[tuple[str, int, int, bool], str] = {}
        required = sum(each.is_required for each in node.properties)
        # Properties are counted only where the count could be wrong.
        can_be_many = node.extras is not None or len(node.properties) > (node.most or 0)
        self._counts = node.fewest > required or (node.most is not None and can_be_many)

    def body(self) -> str:
        """The object's own expression."""
        if not self._node.properties and self._node.extras is None:
            return '"{}"'
        choices = [f'"\\"" {self._key(0, 0, has_extra=False)}'] if self._may_go_on(0, 0) else []
        if self._may_end(0, 0):
            choices.append('"}"')
        return f'"{{" ( {" | ".join(choices)} )'

    def _may_end(self, index: int, count: int) -> bool:
        left = self._node.properties[index:]
        return not any(each.is_required for each in left) and count >= self._least()

    def _least(self) -> int:
        return self._node.fewest if self._counts else 0

    def _may_go_on(self, index: int, count: int) -> bool:
        if self._counts and self._node.most is not None and count >= self._node.most:
            return False
        return index < len(self._node.properties) or self._node.extras is not None

    def _next(self, count: int) -> int:
        """The count after one more property, or the highest that still makes a difference."""
        if not self._counts:
            return 0
        return count + 1 if self._node.most is not None else min(count + 1, self._node.fewest)

    def _required_left(self, index: int) -> int:
        return sum(each.is_required for each in self._node.properties[index:])

    def _fits(self, index: int, count: int) -> bool:
        """Whether what is still required stays within the most, and the fewest can be reached."""
        node = self._node
        if not self._counts:
            return True
        left = len(node.properties) - index
        if node.most is not None:
            if count + self._required_left(index) > node.most:
                return False
            left = min(left, node.most - count)
        return count + left + (node.extras is not None) >= node.fewest

    def _key(self, index: int, count: int, *, has_extra: bool) -> str:
        """The next property, whose first quotation mark is written already."""
        key = ("key", index, count, has_extra)
        if key in self._names:
            return self._names[key]
        self._names[key] = name = self._grammar.new()
        choices: list[str] = []
        properties = self._node.properties
        at = index
        while at < len(properties):
            each = properties[at]
            after = self._next(count)
            if self._fits(at + 1, after):
                text = literal(_text(each.name)[1:] + ": ")
                rest = self._more(at + 1, after, has_extra=False)
                choices.append(f"{text} {self._writer.rule(each.value)} {rest}")
            if each.is_required or not self._fits(at + 1, count):
                break
            at += 1
        extras = self._node.extras
        if at == len(properties) and extras is not None:
            # Names may repeat, and then count once: only the first extra is sure to count.
            after = self._next(count)
            if after >= self._least():
                value = self._writer.rule(extras.value)
                rest = self._more(at, after, has_extra=True)
                choices.append(f'{self._writer.extra_name(extras.names)} ": " {value} {rest}')
        assert choices, "an object came to a place from which it can't go on"
        self._grammar.add(name, " | ".join(choices))
        return name

    def _more(self, index: int, count: int, *, has_extra: bool) -> str:
        """What follows a property: the next one, or the end."""
        key = ("more", index, count, has_extra)
        if key in self._names:
            return self._names[key]
        may_end = self._may_end(index, count)
        may_go_on = self._may_go_on(index, count)
        if not may_go_on:
            assert may_end, "an object came to a place from which it can't go on"
            return '"}"'
        self._names[key] = name = self._grammar.new()
        choices = [f'", \\"" {self._key(index, count, has_extra=has_extra)}']
        if may_end:
            choices.append('"}"')
        self._grammar.add(name, " | ".join(choices))
        return name


def _exactly(element: str, count: int) -> str:
    """Exactly so many, in blocks: decoders unroll a count into rules, one for each."""
    if count == 0:
        return ""
    block = isqrt(count)
    whole, rest = divmod(count, block)
    if whole <= 2:
        return f"{element}{{{count}}}"
    return f"({element}{{{block}}}){{{whole}}}" + (f" {element}{{{rest}}}" if rest else "")


def _at_most(element: str, count: int) -> str:
    """At most so many: whole blocks, then a few more."""
    if count == 0:
        return ""
    block = isqrt(count)
    if block <= 4:
        return f"{element}{{0,{count}}}"
    # So many blocks that what may follow them is at least one less than a block.
    whole = (count - block + 1) // block
    return f"({element}{{{block}}}){{0,{whole}}} {element}{{0,{count - whole * block}}}"


def _repeated(element: str, fewest: int, most: int | None) -> str:
    """From `fewest` to `most` of them, or any number past `fewest`."""
    if most is not None and most > ITEMS_MAX:
        most = max(ITEMS_MAX, fewest)
    if most == 0:
        return ""
    group = f"( {element} )"
    if most is None:
        return f"{group}*" if fewest == 0 else f"{group}{{{fewest},}}"
    return f"{group}{{{most}}}" if fewest == most else f"{group}{{{fewest},{most}}}"
