"""The syntax tree of filters and orders, and the schema that tells which fields there are. Knows nothing of columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "ANY_KEY",
    "AS_TEXT",
    "ATTRIBUTES",
    "Aggregate",
    "And",
    "ColumnType",
    "Comparison",
    "Expression",
    "Field",
    "Function",
    "GroupTerm",
    "Literal",
    "Membership",
    "Not",
    "Operator",
    "Or",
    "OrderTerm",
    "Presence",
    "Resemblance",
    "Schema",
    "fields_of",
]

AS_TEXT = "as text"
"""The aspect of a field of values by which texts sort as such, also where they spell a number or a truth value."""

ANY_KEY = "*"
"""The key of a field that stands for every key of a collection of KEYS."""

ATTRIBUTES = ""
"""The collection of the fields that are written without one, such as `state`."""

Literal = float | str | bool
"""A value in a filter. Every number is a float; a time is a float of microseconds since 1970 UTC."""


class ColumnType(Enum):
    """What a field holds."""

    NUMBER = "number"
    TIME = "time"
    """A float of microseconds since 1970 UTC."""
    VALUE = "value"
    """Text, numbers and truth values, mixed."""
    KEYS = "keys"
    """Nothing: of a collection that is a set of keys, which rows have and others have not."""
    METRIC = "metric"
    """Three numbers: the latest, the smallest and the largest value of a series."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of one kind of resource.

    Attributes:
        attributes: The fields written without a collection, and what they hold.
        aliases: Other names of attributes.
        collections: The collections of user-defined keys (`params`, `tags`, ...), and what their keys hold.
    """

    attributes: Mapping[str, ColumnType]
    aliases: Mapping[str, str]
    collections: Mapping[str, ColumnType]

    def type_of(self, collection: str, key: str) -> ColumnType:
        """What a field holds. Raises `KeyError` for an attribute or a collection that there is not."""
        return self.attributes[key] if collection == ATTRIBUTES else self.collections[collection]


@dataclass(frozen=True, slots=True)
class Field:
    """A field. `aspect` is `last`, `min` or `max` for a metric; `AS_TEXT` in an order by texts as such; else empty."""

    collection: str
    key: str
    type: ColumnType
    aspect: str = ""


class Operator(Enum):
    """How a comparison compares."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field < literal`."""

    field: Field
    operator: Operator
    literal: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """`field IN (...)`, or NOT IN."""

    field: Field
    literals: tuple[Literal, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Resemblance:
    """`field LIKE pattern`, or ILIKE, or NOT of either."""

    field: Field
    pattern: str
    ignore_case: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """`field IS NOT NULL` if `present`, else `field IS NULL`."""

    field: Field
    present: bool


@dataclass(frozen=True, slots=True)
class And:
    """All of the operands, at least two."""

    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the operands, at least two."""

    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The rows that the operand does not match."""

    operand: "Expression"


Expression = Comparison | Membership | Resemblance | Presence | And | Or | Not


def fields_of(expression: Expression) -> set[Field]:
    """The fields that an expression names."""
    match expression:
        case And(operands) | Or(operands):
            return set().union(*map(fields_of, operands))
        case Not(operand):
            return fields_of(operand)
        case _:
            return {expression.field}


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One term of an order."""

    field: Field
    descending: bool = False


class Function(Enum):
    """What an aggregate works out of the values of a group."""

    COUNT = "count"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    SUM = "sum"
    STD = "std"
    MEDIAN = "median"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`mean(field)`. A COUNT without a field counts the rows, one with a field those that have a value."""

    function: Function
    field: Field | None = None


@dataclass(frozen=True, slots=True)
class GroupTerm:
    """One term of an order of groups: a field by which they are made, or an aggregate."""

    key: Field | Aggregate
    descending: bool = False
