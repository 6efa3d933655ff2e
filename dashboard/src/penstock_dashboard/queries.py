"""What the runs table asks for, in the server's search language: filter, order and columns from what the visitor chose.

A column is named as SearchRuns names it: `state`, `display_name`, `params.<key>`, `metrics.<key>`, `tags.<key>`,
`summary.<key>`; `duration` and `run_id` the table works out itself.
"""

import re
from collections.abc import Mapping
from typing import Any

from penstock_dashboard.state import RunsView

__all__ = ["COLLECTIONS", "column_label", "field", "filter_text", "order_text", "read_columns", "split_column"]

COLLECTIONS = ("metrics", "params", "summary", "tags")
"""Collections of user-defined keys."""
SORTABLE_ATTRIBUTES = frozenset(
    {"display_name", "state", "start_time", "end_time", "duration", "experiment", "creator", "group", "run_id"}
)
"""Attributes by which the table may be ordered."""
WORKED_OUT = frozenset({"duration", "run_id"})
"""Columns that are no fields of a run: the table makes them of its other fields."""
ALWAYS_READ = ("display_name", "state", "start_time", "end_time", "experiment")
"""Attributes that every row carries: its badge, link and live duration need them."""
_OPERATOR_RE = re.compile(
    r"[<>=]|\b(?:in|like|ilike)\s*[(\"']|\bis\s+(?:not\s+)?null\b|^\s*(?:not\b|\()|\b(?:metrics|params|tags|summary)\.",
    re.IGNORECASE,
)
_COMPARISONS = {
    "equals": "=",
    "notEqual": "!=",
    "lessThan": "<",
    "lessThanOrEqual": "<=",
    "greaterThan": ">",
    "greaterThanOrEqual": ">=",
}
_PATTERNS = {
    "contains": ("", "%{}%"),
    "notContains": ("NOT ", "%{}%"),
    "startsWith": ("", "{}%"),
    "endsWith": ("", "%{}"),
}


def split_column(column: str) -> tuple[str, str]:
    """`("metrics", "val/loss")` for `metrics.val/loss`, `("", "state")` for an attribute."""
    collection, dot, key = column.partition(".")
    return (collection, key) if dot and collection in COLLECTIONS and key else ("", column)


def column_label(column: str) -> str:
    """The head of a column."""
    collection, key = split_column(column)
    if collection:
        return key
    labels = {"display_name": "Run", "start_time": "Started", "end_time": "Ended"}
    return labels.get(column, column.replace("_", " ").capitalize())


def field(column: str) -> str:
    """A column as filters and orders write it, the key in quotes."""
    collection, key = split_column(column)
    return f'{collection}."{_doubled(key, chr(34))}"' if collection else column


def filter_text(view: RunsView) -> str:
    """The filter for everything the visitor chose, except the experiment, which has a field of its own."""
    clauses: list[str] = []
    typed = view.filter.strip()
    if typed:
        clauses.append(typed if _OPERATOR_RE.search(typed) else f"display_name ILIKE {_text(f'%{_escaped(typed)}%')}")
    if view.states:
        clauses.append(f"state IN ({', '.join(_text(state) for state in view.states)})")
    for column, model in view.column_filters.items():
        clause = _column_clause(column, model)
        if clause:
            clauses.append(clause)
    return clauses[0] if len(clauses) == 1 else " AND ".join(f"({clause})" for clause in clauses)


def order_text(view: RunsView) -> str:
    """The order; empty means the server's default, newest first."""
    terms = [
        f"{field(column)} {direction.upper()}"
        for column, direction in view.sort
        if split_column(column)[0] or column in SORTABLE_ATTRIBUTES
    ]
    return ", ".join(terms)


def read_columns(columns: tuple[str, ...]) -> list[str]:
    """What SearchRuns has to return for these columns."""
    shown = (column for column in columns if column not in WORKED_OUT)
    return list(dict.fromkeys((*ALWAYS_READ, *shown)))


def _column_clause(column: str, model: Any) -> str | None:
    """One entry of the grid's filter model. None when it says nothing that can be asked for."""
    if not isinstance(model, Mapping) or (not split_column(column)[0] and column not in SORTABLE_ATTRIBUTES):
        return None
    kind, wanted = model.get("type"), model.get("filter")
    name = field(column)
    if kind in {"blank", "notBlank"}:
        return f"{name} IS {'NOT ' if kind == 'notBlank' else ''}NULL"
    if wanted is None or wanted == "":
        return None
    if kind == "inRange" and _is_number(wanted) and _is_number(model.get("filterTo")):
        return f"{name} >= {wanted} AND {name} <= {model['filterTo']}"
    if kind in _COMPARISONS:
        literal = str(wanted) if _is_number(wanted) else _text(str(wanted))
        return f"{name} {_COMPARISONS[kind]} {literal}"
    if kind in _PATTERNS:
        negation, pattern = _PATTERNS[kind]
        return f"{name} {negation}ILIKE {_text(pattern.format(_escaped(str(wanted))))}"
    return None


def _is_number(wanted: Any) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", wanted.strip()) is not None
    return isinstance(wanted, int | float) and not isinstance(wanted, bool)


def _text(text: str) -> str:
    return f"'{_doubled(text, chr(39))}'"


def _doubled(text: str, quote: str) -> str:
    return text.replace(quote, quote * 2)


def _escaped(text: str) -> str:
    """Text in a LIKE pattern that means itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
