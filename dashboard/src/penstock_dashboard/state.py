"""What the runs page shows, as it stands in the URL: a link reproduces the view.

Owns the reading and the writing of the query string. Reading never fails: what makes no sense is left out, since anybody may
edit a URL.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

__all__ = ["COLUMNS_MAX", "COMPARED_RUNS_MAX", "STATES", "RunsView", "compare_query", "compared_runs"]

STATES = ("RUNNING", "FINISHED", "FAILED", "KILLED", "CRASHED", "SCHEDULED")
"""The states of a run, as the search grammar writes them."""
COLUMNS_MAX = 200
"""Columns that the table shows at most."""
COMPARED_RUNS_MAX = 50
"""Runs that are compared at most."""
SORT_TERMS_MAX = 10
"""Terms of an order, as the server takes them."""
FILTER_CHARS_MAX = 4000


@dataclass(frozen=True)
class RunsView:
    """Filter, order and columns of the runs table.

    Attributes:
        filter: What stands in the filter box.
        experiment: The id of the only experiment shown; empty means all.
        states: The states shown; empty means all.
        sort: Pairs of column and direction, `asc` or `desc`, most significant first.
        columns: The columns in their order; None means that the dashboard chooses.
        column_filters: The grid's filter model, by column.
    """

    filter: str = ""
    experiment: str = ""
    states: tuple[str, ...] = ()
    sort: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] | None = None
    column_filters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, search: str | None) -> "RunsView":
        """Reads a query string, with or without `?`."""
        query = parse_qs((search or "").removeprefix("?"), keep_blank_values=True)
        sort: list[tuple[str, str]] = []
        for term in query.get("sort", [])[:SORT_TERMS_MAX]:
            column, _, direction = term.rpartition(":")
            if column and direction in {"asc", "desc"}:
                sort.append((column, direction))
        experiment = query.get("experiment", [""])[0]
        columns = query.get("column")
        return cls(
            filter=query.get("filter", [""])[0][:FILTER_CHARS_MAX],
            experiment=experiment if experiment.isascii() and experiment.isdigit() else "",
            states=tuple(state for state in STATES if state in query.get("state", [])),
            sort=tuple(sort),
            columns=None if columns is None else tuple(dict.fromkeys(c for c in columns if c))[:COLUMNS_MAX],
            column_filters=_mapping(query.get("where", [""])[0]),
        )

    def query(self) -> str:
        """Writes the query string, with `?`; empty when everything is at its default."""
        pairs: list[tuple[str, str]] = []
        if self.filter:
            pairs.append(("filter", self.filter))
        if self.experiment:
            pairs.append(("experiment", self.experiment))
        pairs += [("state", state) for state in self.states]
        pairs += [("sort", f"{column}:{direction}") for column, direction in self.sort]
        if self.columns is not None:
            pairs += [("column", column) for column in self.columns] or [("column", "")]
        if self.column_filters:
            pairs.append(("where", json.dumps(self.column_filters, separators=(",", ":"), sort_keys=True)))
        return f"?{urlencode(pairs)}" if pairs else ""


def compared_runs(search: str | None) -> tuple[str, ...]:
    """The ids of the runs that a compare page's URL names."""
    ids = parse_qs((search or "").removeprefix("?")).get("run", [])
    valid = (i for i in ids if len(i) == 32 and all(c in "0123456789abcdef" for c in i))
    return tuple(dict.fromkeys(valid))[:COMPARED_RUNS_MAX]


def compare_query(run_ids: Sequence[str]) -> str:
    """The query string of the compare page for these runs."""
    return f"?{urlencode([('run', run_id) for run_id in run_ids[:COMPARED_RUNS_MAX]])}"


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text) if text else {}
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
