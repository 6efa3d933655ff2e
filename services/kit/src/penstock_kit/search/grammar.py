"""The text of filters, orders and aggregates, read into syntax trees. Owns the grammar and every message about it.

The grammar, for the reader (SEARCH.md beside the package says what everything means):

    filter     = condition, { ("AND" | "OR"), condition } ;           AND binds closer than OR, NOT closer than AND
    condition  = "NOT" condition | "(" filter ")" | field test ;
    test       = ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") literal
               | ["NOT"] "IN" "(" literal { "," literal } ")"
               | ["NOT"] ("LIKE" | "ILIKE") string
               | "IS" ["NOT"] "NULL" ;
    order      = term { "," term } ;
    term       = field ["AS" "TEXT"] ["ASC" | "DESC"] ;
    groupby    = field ;
    aggregate  = "COUNT" | function "(" field ")" ;
    grouporder = (field | aggregate) ["ASC" | "DESC"] { "," (field | aggregate) ["ASC" | "DESC"] } ;
    function   = "COUNT" | "MIN" | "MAX" | "MEAN" | "SUM" | "STD" | "MEDIAN" ;
    field      = attribute                                            state, start_time
               | collection "." key                                   params.lr, metrics.val/loss
               | collection "." quoted [ "." aspect ]                 params."my key", metrics.`val/loss`.min
               | collection "." "*" ;                                 datasets.*: any key, where there are only keys
    key        = letters, digits, "_", and between these "." "/" "-" ;
    quoted     = '"' ... '"' | "`" ... "`" ;                          a quote inside is doubled
    aspect     = "last" | "min" | "max" ;                             of metrics only; "last" if absent
    literal    = number | string | "TRUE" | "FALSE" ;
    number     = ["+" | "-"] (decimal, with or without exponent | "inf" | "infinity" | "nan") ;
    string     = "'" ... "'" | '"' ... '"' ;                          a quote inside is doubled

Keywords are read in any case, fields only as they are written.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from penstock_kit.search.columns import MetricColumn
from penstock_kit.search.errors import (
    AggregateInvalid,
    FilterInvalid,
    GroupByInvalid,
    OrderInvalid,
    QueryInvalid,
)
from penstock_kit.search.patterns import LikePattern, PatternInvalid
from penstock_kit.search.syntax import (
    ANY_KEY,
    AS_TEXT,
    ATTRIBUTES,
    Aggregate,
    And,
    ColumnType,
    Comparison,
    Expression,
    Field,
    Function,
    GroupTerm,
    Literal,
    Membership,
    Not,
    Operator,
    Or,
    OrderTerm,
    Presence,
    Resemblance,
    Schema,
)

__all__ = [
    "FIELD_CHARS_MAX",
    "FILTER_CHARS_MAX",
    "FILTER_CLAUSES_MAX",
    "FILTER_DEPTH_MAX",
    "FILTER_PATTERNS_MAX",
    "ORDER_CHARS_MAX",
    "ORDER_TERMS_MAX",
    "PATTERN_CHARS_MAX",
    "parse_aggregate",
    "parse_filter",
    "parse_group_by",
    "parse_group_order",
    "parse_order",
]

FILTER_CHARS_MAX = 16_384
FILTER_CLAUSES_MAX = 1_000
FILTER_DEPTH_MAX = 100
"""Parentheses and NOTs around one clause."""
FILTER_PATTERNS_MAX = 50
"""LIKEs and ILIKEs: each looks at every different text of its field."""
PATTERN_CHARS_MAX = 1_000
FIELD_CHARS_MAX = 600
"""Of a field to group by or an aggregate: a key of 250 characters, all of them doubled quotes, and what is around it."""
ORDER_CHARS_MAX = 4_096
ORDER_TERMS_MAX = 10

MILLISECOND_US = 1_000
TOKEN_CHARS_MAX = 60  # of a longer token, a message shows only this much

_FILTER_RULES = r"""
start: disjunction
disjunction: conjunction (_OR conjunction)*
conjunction: negation (_AND negation)*
?negation: NOT negation -> complement
    | condition
?condition: LPAR disjunction _RPAR -> group
    | field COMPARE literal -> comparison
    | field [NOT] _IN _LPAR literal (_COMMA literal)* _RPAR -> membership
    | field [NOT] (LIKE | ILIKE) STRING -> resemblance
    | field _IS [NOT] _NULL -> absence
literal: NUMBER | STRING | TRUE | FALSE

NUMBER.2: /[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|(?:inf(?:inity)?|nan)\b)/i
_OR.2: /or\b/i
_AND.2: /and\b/i
NOT.2: /not\b/i
_IN.2: /in\b/i
LIKE.2: /like\b/i
ILIKE.2: /ilike\b/i
_IS.2: /is\b/i
_NULL.2: /null\b/i
TRUE.2: /true\b/i
FALSE.2: /false\b/i
STRING: /'(?:[^']|'')*'|"(?:[^"]|"")*"/
COMPARE: /==|=|!=|<>|<=|>=|<|>/
LPAR: "("
_LPAR: "("
_RPAR: ")"
"""

_ORDER_RULES = r"""
start: order_term (_COMMA order_term)*
order_term: field [AS_TEXT] [ASC | DESC]

AS_TEXT.2: /as\s+text\b/i
ASC.2: /asc\b/i
DESC.2: /desc\b/i
"""

_GROUP_BY_RULES = "start: field\n"

_AGGREGATE_RULES = r"""
start: aggregate
"""

_GROUP_ORDER_RULES = r"""
start: group_term (_COMMA group_term)*
group_term: (field | aggregate) [ASC | DESC]

ASC.2: /asc\b/i
DESC.2: /desc\b/i
"""

_CALL_RULES = r"""
aggregate: COUNT | FUNCTION _LPAR field _RPAR

FUNCTION.4: /(?:count|min|max|mean|sum|std|median)(?=\s*\()/i
COUNT.3: /count\b/i
_LPAR: "("
_RPAR: ")"
"""

_FIELD_RULES = r"""
field: FIELD | NAME

FIELD.3: /[^\W\d]\w*\.(?:\*|(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`)(?:\.\w+)?|\w+(?:[.\/-]+\w+)*)/
NAME: /[^\W\d]\w*/
_COMMA: ","
%ignore /\s+/
"""

_OPERATORS = {
    "=": Operator.EQ,
    "==": Operator.EQ,
    "!=": Operator.NE,
    "<>": Operator.NE,
    "<": Operator.LT,
    "<=": Operator.LE,
    ">": Operator.GT,
    ">=": Operator.GE,
}

_FIELD = "a field"
_VALUE = "a value: a number, a text in quotes, true or false"
_AGGREGATE = "count, or count, min, max, mean, sum, std or median of a field in parentheses"
_TEST = "a comparison: =, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL or IS NOT NULL"
_EXPECTATIONS: Sequence[tuple[frozenset[str], str]] = (
    (frozenset({"COMPARE"}), _TEST),
    (frozenset({"NUMBER"}), _VALUE),
    (frozenset({"NAME"}), _FIELD),
    (frozenset({"FUNCTION"}), _AGGREGATE),
    (frozenset({"_AND", "_OR"}), "AND, OR"),
    (frozenset({"STRING"}), "a text in quotes"),
    (frozenset({"_IN", "LIKE", "ILIKE"}), "IN, LIKE or ILIKE"),
    (frozenset({"_NULL"}), "NULL"),
    (frozenset({"ASC"}), "ASC, DESC"),
    (frozenset({"LPAR", "_LPAR"}), "an opening parenthesis"),
    (frozenset({"_COMMA"}), "a comma"),
    (frozenset({"_RPAR"}), "a closing parenthesis"),
    (frozenset({"$END"}), "the end"),
)
"""What to say for the terminals that could follow."""
# What a phrase says already.
_COVERED = {
    _TEST: {"NOT", "_IN", "LIKE", "ILIKE", "_IS"},
    _VALUE: {"STRING", "TRUE", "FALSE"},
    _FIELD: {"FIELD", "NOT", "LPAR"},
    _AGGREGATE: {"COUNT"},
}


def parse_filter(text: str, schema: Schema) -> Expression:
    """Reads a filter, which is not empty, and checks it against the schema. Raises `FilterInvalid`."""
    reader = _Reader(text, schema, FilterInvalid)
    return reader.disjunction(reader.tree("filter", _FILTER_RULES, FILTER_CHARS_MAX).children[0], 0)


def parse_order(text: str, schema: Schema) -> tuple[OrderTerm, ...]:
    """Reads an order, which is not empty, and checks it against the schema. Raises `OrderInvalid`."""
    reader = _Reader(text, schema, OrderInvalid)
    terms = reader.tree("order", _ORDER_RULES, ORDER_CHARS_MAX).children
    if len(terms) > ORDER_TERMS_MAX:
        raise OrderInvalid(f"An order has at most {ORDER_TERMS_MAX} terms, this one has {len(terms)}.", text, 0, "")
    return tuple(reader.order_term(term) for term in terms)


def parse_group_by(text: str, schema: Schema) -> Field:
    """Reads a field by which groups are made, and checks it against the schema. Raises `GroupByInvalid`."""
    reader = _Reader(text, schema, GroupByInvalid)
    node = reader.tree("field", _GROUP_BY_RULES, FIELD_CHARS_MAX).children[0]
    field = reader.field(node)
    if field.type is not ColumnType.VALUE:
        raise GroupByInvalid(
            "Groups are made by what runs share: params, tags, summary entries and attributes that hold texts.",
            text,
            node.children[0].start_pos or 0,
            str(node.children[0]),
        )
    return field


def parse_aggregate(text: str, schema: Schema) -> Aggregate:
    """Reads an aggregate, and checks it against the schema. Raises `AggregateInvalid`."""
    reader = _Reader(text, schema, AggregateInvalid)
    return reader.aggregate(reader.tree("aggregate", _AGGREGATE_RULES + _CALL_RULES, FIELD_CHARS_MAX).children[0])


def parse_group_order(text: str, schema: Schema, group_by: Sequence[Field]) -> tuple[GroupTerm, ...]:
    """Reads an order of groups, which is not empty. Raises `OrderInvalid`.

    Args:
        text: The order.
        schema: What it is checked against.
        group_by: The fields that it may name, beside aggregates.
    """
    reader = _Reader(text, schema, OrderInvalid)
    nodes = reader.tree("order", _GROUP_ORDER_RULES + _CALL_RULES, ORDER_CHARS_MAX).children
    if len(nodes) > ORDER_TERMS_MAX:
        raise OrderInvalid(f"An order has at most {ORDER_TERMS_MAX} terms, this one has {len(nodes)}.", text, 0, "")
    terms: list[GroupTerm] = []
    for node in nodes:
        what, direction = node.children
        key = reader.aggregate(what) if what.data == "aggregate" else reader.field(what)
        if isinstance(key, Field) and key not in group_by:
            token = what.children[0]
            raise OrderInvalid(
                "Groups are in the order of fields by which they are made, or of aggregates.",
                text,
                token.start_pos or 0,
                str(token),
            )
        terms.append(GroupTerm(key, direction is not None and direction.type == "DESC"))
    return tuple(terms)


@cache  # built at the first use, not at import: it takes some tens of milliseconds
def _parser(rules: str) -> Lark:
    return Lark(rules + _FIELD_RULES, parser="lalr", maybe_placeholders=True)


class _Reader:
    """Walks the tree of one text."""

    def __init__(self, text: str, schema: Schema, error: type[QueryInvalid]) -> None:
        self._text = text
        self._schema = schema
        self._error = error
        self._clauses = 0
        self._patterns = 0

    def tree(self, what: str, rules: str, chars_max: int) -> Any:
        if len(self._text) > chars_max:
            raise self._error(
                f"The {what} has {len(self._text):,} characters; at most {chars_max:,} are allowed.",
                self._text,
                chars_max,
                "",
            )
        try:
            return _parser(rules).parse(self._text)
        except UnexpectedInput as error:
            raise self._unexpected(error) from None

    def disjunction(self, node: Any, depth: int) -> Expression:
        operands = tuple(self._conjunction(child, depth) for child in node.children)
        return operands[0] if len(operands) == 1 else Or(operands)

    def _conjunction(self, node: Any, depth: int) -> Expression:
        operands = tuple(self._condition(child, depth) for child in node.children)
        return operands[0] if len(operands) == 1 else And(operands)

    def _condition(self, node: Any, depth: int) -> Expression:
        if node.data in ("complement", "group"):
            opening, inner = node.children
            if depth == FILTER_DEPTH_MAX:
                raise self._wrong(f"Parentheses and NOTs go at most {FILTER_DEPTH_MAX} deep.", opening)
            if node.data == "group":
                return self.disjunction(inner, depth + 1)
            return Not(self._condition(inner, depth + 1))
        self._clauses += 1
        if self._clauses > FILTER_CLAUSES_MAX:
            raise self._wrong(f"A filter has at most {FILTER_CLAUSES_MAX:,} comparisons.", node.children[0].children[0])
        field = self.field(node.children[0], any_key=True)
        match node.data:
            case "comparison":
                operator = _OPERATORS[node.children[1]]
                if field.type is ColumnType.KEYS and operator not in (Operator.EQ, Operator.NE):
                    raise self._wrong("Keys are compared with =, !=, IN and LIKE.", node.children[1])
                return Comparison(field, operator, self._literal(field, node.children[2]))
            case "membership":
                literals = tuple(self._literal(field, child) for child in node.children[2:])
                return Membership(field, literals, negated=node.children[1] is not None)
            case "resemblance":
                return self._resemblance(field, *node.children[1:])
            case _:
                return Presence(field, present=node.children[1] is not None)

    def _resemblance(self, field: Field, negation: Token | None, operator: Token, string: Token) -> Expression:
        if field.type not in (ColumnType.VALUE, ColumnType.KEYS):
            raise self._wrong(f"{operator.upper()} compares texts, and this field holds no text.", operator)
        self._patterns += 1
        if self._patterns > FILTER_PATTERNS_MAX:
            raise self._wrong(f"A filter has at most {FILTER_PATTERNS_MAX} LIKEs and ILIKEs.", operator)
        pattern = _unquoted(string)
        if len(pattern) > PATTERN_CHARS_MAX:
            raise self._wrong(f"A pattern has at most {PATTERN_CHARS_MAX:,} characters.", string)
        ignore_case = operator.type == "ILIKE"
        try:
            LikePattern(pattern, ignore_case=ignore_case)
        except PatternInvalid:
            raise self._wrong(
                "The pattern ends in a backslash that escapes nothing: write two for a backslash.", string
            ) from None
        return Resemblance(field, pattern, ignore_case=ignore_case, negated=negation is not None)

    def field(self, node: Any, *, any_key: bool = False) -> Field:
        token = node.children[0]
        if token.type == "NAME":
            name = self._schema.aliases.get(token, str(token))
            if name not in self._schema.attributes:
                raise self._wrong(f"There is no field {token[:TOKEN_CHARS_MAX]}.{self._suggestion(token)}", token)
            return Field(ATTRIBUTES, name, self._schema.attributes[name])
        collection, rest = token.split(".", 1)
        if collection not in self._schema.collections:
            known = ", ".join(f"{name}." for name in self._schema.collections)
            raise self._wrong(f"{collection}. is not known: keys follow one of {known}", token)
        kind = self._schema.collections[collection]
        if (kind is ColumnType.KEYS) != (rest == ANY_KEY):
            written = f"{collection}.*" if kind is ColumnType.KEYS else f'{collection}."*"'
            raise self._wrong(f"Write {written}.", token)
        if kind is ColumnType.KEYS and not any_key:
            raise self._wrong("A set of keys has no order and no value.", token)
        key, aspect = rest, ""
        if rest[0] in '"`':
            end = rest.rindex(rest[0])
            key, aspect = _unquoted(rest[: end + 1]), rest[end + 2 :]
        if not key:
            raise self._wrong("The key between the quotes is empty.", token)
        if aspect and kind is not ColumnType.METRIC:
            raise self._wrong(f"Only a metric has .{aspect}.", token)
        if kind is ColumnType.METRIC:
            aspect = aspect or "last"
            if aspect not in MetricColumn.aspects:
                raise self._wrong(f"A metric has .last, .min and .max, not .{aspect}.", token)
        return Field(collection, key, kind, aspect)

    def order_term(self, node: Any) -> OrderTerm:
        by, as_text, direction = node.children
        field = self.field(by)
        if as_text is not None:
            if field.type is not ColumnType.VALUE:
                raise self._wrong("AS TEXT is for fields that hold texts, and this field holds none.", as_text)
            field = replace(field, aspect=AS_TEXT)
        return OrderTerm(field, descending=direction is not None and direction.type == "DESC")

    def aggregate(self, node: Any) -> Aggregate:
        function = Function(str(node.children[0]).lower())
        if len(node.children) == 1:
            return Aggregate(function)
        token = node.children[1].children[0]
        field = self.field(node.children[1])
        if field.type is ColumnType.TIME and function not in (Function.COUNT, Function.MIN, Function.MAX):
            raise self._wrong("Times are counted, and have a min and a max.", token)
        return Aggregate(function, field)

    def _literal(self, field: Field, node: Any) -> Literal:
        token = node.children[0]
        literal: Literal
        match token.type:
            case "NUMBER":
                literal = float(token)
            case "STRING":
                literal = _unquoted(token)
            case _:
                literal = token.type == "TRUE"
        if field.type is ColumnType.VALUE:
            return literal
        if field.type is ColumnType.TIME:
            return self._time(literal, token)
        if field.type is ColumnType.KEYS:
            if not isinstance(literal, str):
                raise self._wrong("Keys are texts: expected one in quotes.", token)
            return literal
        if not isinstance(literal, float):
            raise self._wrong("This field holds numbers: expected a number, without quotes.", token)
        return literal

    def _time(self, literal: Literal, token: Token) -> float:
        if isinstance(literal, float):
            return literal * MILLISECOND_US
        if isinstance(literal, str):
            try:
                moment = datetime.fromisoformat(literal)
            except ValueError:
                pass
            else:
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                return moment.timestamp() * 1_000_000
        raise self._wrong(
            "This field holds a time: expected ISO 8601 such as '2026-11-28T12:30:00Z', or milliseconds since 1970.",
            token,
        )

    def _suggestion(self, name: str) -> str:
        names = [*self._schema.attributes, *self._schema.aliases]
        similar = difflib.get_close_matches(name.lower(), names, n=1)
        if similar:
            return f" Did you mean {similar[0]}?"
        collections = ", ".join(f"{collection}.<key>" for collection in self._schema.collections)
        return f" Fields are {', '.join(self._schema.attributes)}, {collections}."

    def _wrong(self, problem: str, token: Token) -> QueryInvalid:
        return self._error(problem, self._text, token.start_pos or 0, str(token))

    def _unexpected(self, error: UnexpectedInput) -> QueryInvalid:
        expected: Iterable[str] = ()
        position, piece, kind = len(self._text.rstrip()), "", "$END"
        if isinstance(error, UnexpectedCharacters):
            position, kind, expected = error.pos_in_stream or 0, "", error.allowed or ()
            piece = self._text[position]
        elif isinstance(error, UnexpectedToken):
            expected = error.expected
            if error.token.type != "$END":
                position, piece, kind = error.token.start_pos or 0, str(error.token), error.token.type
        # Not all that the grammar's state lists can really follow: what follows is found by trying.
        parser = getattr(error, "interactive_parser", None)
        expected = parser.accepts() if parser is not None else expected
        shown = piece if len(piece) <= TOKEN_CHARS_MAX else piece[:TOKEN_CHARS_MAX] + "…"
        found = f"found {shown}" if piece else "but here is the end"
        problem = f"Expected {_in_words(expected)}; {found}."
        if piece == "." and self._text[position + 1 : position + 2] in ("'", '"', "`"):
            position, piece = position + 1, self._text[position + 1]
        if piece == "'" and kind == "" and self._text[position - 1 : position] == ".":
            problem = "A key stands in double quotes or backticks."
        elif piece in ("'", '"', "`"):
            problem = "The quote that opens here is never closed."
        elif piece == ".":
            problem = (
                "Expected a key after the dot; put it in double quotes if it holds more than letters, digits and _."
            )
        elif "NUMBER" in expected and kind == "NAME":
            problem = f"Expected {_VALUE}; found {shown}. A text needs quotes: '{shown}'."
        elif "NUMBER" in expected and kind == "FIELD":
            problem = f"Expected {_VALUE}; found the field {shown}. Fields are compared with values only."
        elif "NUMBER" in expected and kind == "_NULL":
            problem = f"Expected {_VALUE}; found {shown}. Write IS NULL or IS NOT NULL."
        elif "NAME" in expected and kind in ("STRING", "NUMBER"):
            problem += " The field stands on the left, the value on the right."
        return self._error(problem, self._text, position, piece)


def _unquoted(quoted: str) -> str:
    quote = quoted[0]
    return quoted[1:-1].replace(quote * 2, quote)


def _in_words(terminals: Iterable[str]) -> str:
    left = set(terminals)
    phrases: list[str] = []
    for names, phrase in _EXPECTATIONS:
        if left & names:
            phrases.append(phrase)
            left -= names | _COVERED.get(phrase, set())
    return " or ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases) or "something else"
