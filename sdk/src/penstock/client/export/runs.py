"""The table of runs of an export: a row per run, a column per field and per key.

Params, tags, summary entries and latest metrics of all runs make the columns `params.<key>`, `tags.<key>`, `summary.<key>`
and `metrics.<key>`, of the narrowest type that holds the values of all runs: whole numbers and fractions together are
float64, everything else mixed is text. A list or mapping is JSON text. A kind with more than `COLUMNS_PER_KIND_MAX` different
keys is one column of its own name instead, which holds a JSON object.

The runs are read twice, first for the columns and then for the rows, so that neither all of them nor all of their values are
in memory.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

from penstock.api.tracking.v1 import run_pb2
from penstock.client.export.points import parquet_writer
from penstock.client.names import run_id_of
from penstock.client.records import run_record
from penstock.client.tables import arrow_scalars, arrow_type, require
from penstock.jsonable import jsonable

__all__ = ["COLUMNS", "write_runs"]

KINDS = ("params", "tags", "summary", "metrics")
COLUMNS = (
    *("name", "display_name", "experiment", "state", "lifecycle_stage", "start_time", "end_time", "create_time"),
    *("update_time", "creator", "notes", "group", "forked_from", "fork_step", "failure", "ranks", *KINDS[:-1]),
)
"""What runs must carry, beside metrics, as `SearchRuns` names it."""
COLUMNS_PER_KIND_MAX = 2_000
"""Most keys of a kind that get a column each."""
CELLS_PER_GROUP = 1_000_000
"""Cells that are gathered into one row group."""
ROWS_PER_GROUP = 10_000


def write_runs(
    runs: Callable[[], Iterable[run_pb2.Run]], experiment_titles: Mapping[str, str], file: IO[bytes]
) -> None:
    """Writes the table as Parquet.

    Args:
        runs: Iterates all runs, the same each time.
        experiment_titles: The names for people of experiments, by resource name.
        file: Where to.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pa = require("pyarrow", "arrow")
    types = _key_types(runs())
    text, time = pa.string(), pa.timestamp("us", tz="UTC")
    fields: dict[str, Any] = {
        **dict.fromkeys(("run_id", "name", "display_name", "experiment", "experiment_name", "state"), text),
        "lifecycle_stage": text,
        **dict.fromkeys(("start_time", "end_time", "create_time", "update_time"), time),
        **dict.fromkeys(("creator", "notes", "group", "forked_from"), text),
        "fork_step": pa.int64(),
        "failure": text,
        "ranks": pa.list_(pa.int32()),
    }
    columns = {
        f"{kind}.{key}": arrow_type(kinds) if kinds else text
        for kind, found in types.items()
        for key, kinds in sorted((found or {}).items())
    }
    whole = [kind for kind, found in types.items() if found is None]
    columns.update(dict.fromkeys(whole, text))
    schema = pa.schema([*fields.items(), *columns.items()])
    rows_max = max(1, min(ROWS_PER_GROUP, CELLS_PER_GROUP // len(schema)))
    with parquet_writer(file, schema) as writer:
        rows: list[Mapping[str, Any]] = []

        def write_rows() -> None:
            arrays = [
                pa.array([row[name] for row in rows], type_)
                if name in fields
                else arrow_scalars([row.get(name) for row in rows], type_)
                for name, type_ in zip(schema.names, schema.types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows.clear()

        for run in runs():
            rows.append(_row(run, experiment_titles, whole))
            if len(rows) == rows_max:
                write_rows()
        if rows:
            write_rows()


def _key_types(runs: Iterable[run_pb2.Run]) -> dict[str, dict[str, set[type]] | None]:
    """By kind: by key, the types of its values. None for a kind of too many keys."""
    types: dict[str, dict[str, set[type]] | None] = {kind: {} for kind in KINDS}
    for run in runs:
        for kind in KINDS:
            found = types[kind]
            if found is None:
                continue
            for key, value in _entries(run, kind):
                kinds = found.setdefault(key, set())
                if value is not None:
                    kinds.add(type(value))
            if len(found) > COLUMNS_PER_KIND_MAX:
                types[kind] = None
    return types


def _row(run: run_pb2.Run, experiment_titles: Mapping[str, str], whole: Iterable[str]) -> dict[str, Any]:
    row = {
        **run_record(run),
        "run_id": run_id_of(run.name),
        "experiment_name": experiment_titles.get(run.experiment),
    }
    for kind in KINDS:
        entries = dict(_entries(run, kind))
        if kind in whole:
            row[kind] = json.dumps(jsonable(entries), ensure_ascii=False, allow_nan=False)
        else:
            row.update({f"{kind}.{key}": value for key, value in entries.items()})
    return row


def _entries(run: run_pb2.Run, kind: str) -> Iterator[tuple[str, Any]]:
    """Keys and values of one kind. A list or mapping is JSON text."""
    if kind == "metrics":
        for metric in run.latest_metrics:
            yield metric.key, metric.value
    elif kind == "tags":
        for tag in run.tags:
            yield tag.key, tag.value
    else:
        for entry in run.params if kind == "params" else run.summary:
            name = entry.value.WhichOneof("kind")
            yield entry.key, None if name is None else getattr(entry.value, name)
