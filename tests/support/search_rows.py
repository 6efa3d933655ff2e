"""Random rows and queries, and an evaluator of them that goes row by row and knows nothing of numpy, lark or re2."""

import math
import re
from typing import Any

from hypothesis import strategies as st

from penstock_kit.search import ATTRIBUTES, ColumnType, MetricCell, Schema, Table

SCHEMA = Schema(
    attributes={"state": ColumnType.VALUE, "seconds": ColumnType.NUMBER},
    aliases={},
    collections={"params": ColumnType.VALUE, "metrics": ColumnType.METRIC},
)

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "b%",
    "a_c",
    "é",
    "É",
    "1",
    "01",
    "1.0",
    "-0",
    "1e3",
    "nan",
    "inf",
    "true",
    "False",
    "x\ny",
    "it's",
]
texts = st.sampled_from(TEXTS) | st.text(alphabet="aB1%_\\é'\"` \n", max_size=4)
floats = st.sampled_from([0.0, -0.0, 1.0, 0.5, 1000.0, math.nan, math.inf, -math.inf]) | st.floats(width=16)
integers = st.sampled_from([0, 1, -1, 1000, 2**53, 2**53 + 1, -(2**63)]) | st.integers(-3, 3)
values = texts | floats | integers | st.booleans()
runs = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["RUNNING", "FINISHED"]),
        "seconds": st.none() | floats,
        "params": st.dictionaries(st.sampled_from(["k", "my key", "a.b/c-d"]), values, max_size=3),
        "metrics": st.dictionaries(
            st.sampled_from(["loss", "val/loss"]), st.tuples(floats, floats, floats), max_size=2
        ),
    }
)
VALUE_FIELDS = [("state",), ("params", "k"), ("params", "my key"), ("params", "a.b/c-d")]
NUMBER_FIELDS = [("seconds",), *(("metrics", k, a) for k in ("loss", "val/loss") for a in ("last", "min", "max"))]
OPERATORS = ["=", "==", "!=", "<>", "<", "<=", ">", ">="]

value_clauses = (
    st.tuples(
        st.just("compare"), st.sampled_from(VALUE_FIELDS), st.sampled_from(OPERATORS), texts | floats | st.booleans()
    )
    | st.tuples(
        st.just("in"),
        st.sampled_from(VALUE_FIELDS),
        st.booleans(),
        st.lists(texts | floats | st.booleans(), min_size=1, max_size=4),
    )
    | st.tuples(
        st.just("like"),
        st.sampled_from(VALUE_FIELDS),
        st.booleans(),
        st.booleans(),
        st.text(alphabet="aB1%_é.e\n", max_size=5) | st.sampled_from(["%", "a\\_c", "b\\%", "%rue", "\\\\%", "1%"]),
    )
)
number_clauses = st.tuples(
    st.just("compare"), st.sampled_from(NUMBER_FIELDS), st.sampled_from(OPERATORS), floats
) | st.tuples(st.just("in"), st.sampled_from(NUMBER_FIELDS), st.booleans(), st.lists(floats, min_size=1, max_size=4))
null_clauses = st.tuples(st.just("null"), st.sampled_from(VALUE_FIELDS + NUMBER_FIELDS), st.booleans())
filters = st.recursive(
    value_clauses | number_clauses | null_clauses,
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=6,
)
orders = st.lists(st.tuples(st.sampled_from(VALUE_FIELDS + NUMBER_FIELDS), st.booleans()), min_size=1, max_size=3)


def write_field(field: tuple[str, ...]) -> str:
    if len(field) == 1:
        return field[0]
    if field[1] == "k":
        return "params.k"
    quoted = field[1].replace('"', '""')
    return f'{field[0]}."{quoted}"' + "".join(f".{aspect}" for aspect in field[2:])


def write_literal(literal: Any) -> str:
    if isinstance(literal, str):
        return "'" + literal.replace("'", "''") + "'"
    return str(literal)


def write_filter(node: Any) -> str:
    match node:
        case "compare", field, operator, literal:
            return f"{write_field(field)} {operator} {write_literal(literal)}"
        case "in", field, negated, literals:
            return f"{write_field(field)} {'NOT ' * negated}IN ({', '.join(map(write_literal, literals))})"
        case "like", field, negated, ignore_case, pattern:
            return f"{write_field(field)} {'not ' * negated}{'i' * ignore_case}like {write_literal(pattern)}"
        case "null", field, negated:
            return f"{write_field(field)} IS {'NOT ' * negated}NULL"
        case "not", inner:
            return f"NOT ({write_filter(inner)})"
        case word, inner:
            return f" {word} ".join(f"({write_filter(operand)})" for operand in inner)


# The evaluator.


def cell(run: dict[str, Any], field: tuple[str, ...]) -> Any:
    if len(field) == 1:
        return run[field[0]]
    value = run[field[0]].get(field[1])
    if field[0] == "metrics" and value is not None:
        return value[("last", "min", "max").index(field[2])]
    return value


def as_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", value, re.IGNORECASE | re.ASCII):
        return float(value)
    return float(value) if value.lower().lstrip("+-") in ("nan", "inf", "infinity") else None


def as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return None


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(0.0 if value == 0 else value)
    return str(value)


def compares(value: Any, operator: str, literal: Any) -> bool:
    if value is None:
        return False
    equality = operator in ("=", "==", "!=", "<>")
    if isinstance(literal, bool):
        value = as_bool(value)
    elif isinstance(literal, float):
        value = as_number(value)
    elif equality:
        value = as_text(value)
    elif not isinstance(value, str):
        value = None
    if value is None:
        return False
    if equality:
        equal = value == literal or (value != value and literal != literal)
        return equal == (operator in ("=", "=="))
    return {"<": value < literal, "<=": value <= literal, ">": value > literal, ">=": value >= literal}[operator]


def is_like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(is_like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    width = 2 if pattern[0] == "\\" else 1
    same = pattern[0] == "_" or text[:1] == pattern[width - 1]
    return bool(text) and same and is_like(text[1:], pattern[width:])


def holds(node: Any, run: dict[str, Any]) -> bool:
    match node:
        case "compare", field, operator, literal:
            return compares(cell(run, field), operator, literal)
        case "in", field, negated, literals:
            if negated:
                return all(compares(cell(run, field), "!=", literal) for literal in literals)
            return any(compares(cell(run, field), "=", literal) for literal in literals)
        case "like", field, negated, ignore_case, pattern:
            value = cell(run, field)
            if value is None:
                return False
            text = as_text(value)
            if ignore_case:
                text, pattern = text.lower(), pattern.lower()
            return is_like(text, pattern) != negated
        case "null", field, negated:
            return (cell(run, field) is None) != negated
        case "not", inner:
            return not holds(inner, run)
        case "and", inner:
            return all(holds(operand, run) for operand in inner)
        case "or", inner:
            return any(holds(operand, run) for operand in inner)
    raise AssertionError(node)


def sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return 4, 0
    number = as_number(value)
    if number is not None:
        return (3, 0) if math.isnan(number) else (0, number)
    truth = as_bool(value)
    return (1, truth) if truth is not None else (2, value)


def precedes(order: list[Any], a: tuple[str, Any], b: tuple[str, Any]) -> int:
    for field, descending in order:
        left, right = sort_key(cell(a[1], field)), sort_key(cell(b[1], field))
        if left != right:
            result = -1 if left < right else 1
            return -result if descending and max(left[0], right[0]) < 3 else result
    return -1 if a[0] < b[0] else 1


def put(table: Table, run_id: str, run: dict[str, Any]) -> None:
    attributes = {name: run[name] for name in ("state", "seconds") if run[name] is not None}
    table.put(run_id, ATTRIBUTES, attributes)
    table.put(run_id, "params", run["params"])
    table.put(run_id, "metrics", {key: MetricCell(*values, 0, 0, 1) for key, values in run["metrics"].items()})
