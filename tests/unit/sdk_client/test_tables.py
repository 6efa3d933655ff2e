"""Results as tables, and messages as plain values."""

import math
import struct
import sys
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.client import records, tables
from penstock.client.names import project_name, run_name, run_names, token_name
from penstock.errors import InvalidInput, MissingExtra

RUN = "projects/default/runs/" + "0" * 32


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], pa.int64()),
        ([1, 0.5], pa.float64()),
        ([True, None], pa.bool_()),
        ([True, 1], pa.string()),
        ([1, "a"], pa.string()),
        ([{"a": 1}], pa.string()),
        ([[1], [2, 3]], pa.list_(pa.int64())),
        ([[], []], pa.list_(pa.int64())),
        ([["a"]], pa.list_(pa.string())),
        ([[1, "a"]], pa.string()),
        ([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        ([None], pa.null()),
    ],
)
def test_a_column_takes_the_narrowest_type_that_holds_all(values: list[Any], kind: pa.DataType) -> None:
    table = tables.arrow_table([{"x": value} for value in values])
    assert table.schema.field("x").type == kind
    assert table.num_rows == len(values)


def test_asked_columns_come_first_and_exist_without_rows() -> None:
    assert tables.arrow_table([], ["name", "x"]).column_names == ["name", "x"]
    assert tables.arrow_table([{"b": 1, "a": 2}], ["a"]).column_names == ["a", "b"]


def test_pandas_and_polars_have_the_same_columns() -> None:
    table = tables.arrow_table([{"lr": 0.1, "time": datetime(2026, 1, 1, tzinfo=UTC)}])
    assert list(tables.to_pandas(table).columns) == tables.to_polars(table).columns == ["lr", "time"]


def test_points_are_bit_exact() -> None:
    strange = struct.unpack("<d", bytes.fromhex("010000000000f8ff"))[0]  # a NaN with a payload
    values = [0.1, -0.0, math.inf, -math.inf, strange, 5e-324]
    steps = [-(2**63), -1, 0, 1, 2**62, 2**63 - 1]
    points = metric_pb2.MetricPoints(steps=steps, times_unix_us=[0] * 6, values=values)
    table = tables.arrow_points(metric_pb2.MetricSeries(run=RUN, key="x", rank=3, points=points), by_rank=True)
    assert table.column_names == ["key", "rank", "step", "time", "value"]
    assert table["step"].to_pylist() == steps
    assert struct.pack("<6d", *table["value"].to_pylist()) == struct.pack("<6d", *values)
    assert set(table["rank"].to_pylist()) == {3}


@pytest.mark.parametrize("count", [0, 1, 15, 16, 2_048, 65_536])
def test_points_of_any_number_are_taken_whole(count: int) -> None:
    points = metric_pb2.MetricPoints(
        steps=range(count), times_unix_us=range(count, 2 * count), values=[i / 7 for i in range(count)]
    )
    newer = metric_pb2.MetricPoints.FromString(points.SerializeToString() + bytes([15 << 3, 5]))  # field 15, a number
    table = tables.arrow_points(metric_pb2.MetricSeries(run=RUN, key="x", points=newer), by_rank=False, by_run=True)
    assert table["step"].to_pylist() == list(points.steps)
    assert table["time"].cast(pa.int64()).to_pylist() == list(points.times_unix_us)
    assert table["value"].to_pylist() == list(points.values)
    assert set(table["run_id"].to_pylist()) == ({"0" * 32} if count else set())


@pytest.mark.parametrize(("module", "extra"), [("pyarrow", "arrow"), ("pandas", "pandas"), ("polars", "polars")])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'penstock\[{extra}\]'") as raised:
        tables.require(module, extra)
    assert isinstance(raised.value, ImportError)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (run_pb2.Value(string_value=""), ""),
        (run_pb2.Value(int_value=0), 0),
        (run_pb2.Value(double_value=0.5), 0.5),
        (run_pb2.Value(bool_value=False), False),
        (run_pb2.Value(json_value='{"a": [1]}'), {"a": [1]}),
        (run_pb2.Value(json_value="{"), "{"),
        (run_pb2.Value(), None),
    ],
)
def test_typed_values_become_plain_ones(value: run_pb2.Value, plain: Any) -> None:
    found = records.value_of(value)
    assert found == plain
    assert type(found) is type(plain)


def test_a_run_is_nested_for_json_and_flat_for_tables() -> None:
    run = run_pb2.Run(
        name=RUN,
        state=run_pb2.RUN_STATE_FINISHED,
        params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1))],
        tags=[run_pb2.Tag(key="a.b", value="c")],
        latest_metrics=[run_pb2.LatestMetric(key="val/loss", value=0.5)],
    )
    record = records.run_record(run)
    assert (record["state"], record["lifecycle_stage"]) == ("FINISHED", "")
    assert (record["params"], record["tags"], record["metrics"]) == ({"lr": 0.1}, {"a.b": "c"}, {"val/loss": 0.5})
    row = records.flat(record)
    assert (row["params.lr"], row["tags.a.b"], row["metrics.val/loss"]) == (0.1, "c", 0.5)
    assert records.selected(row, ["state", "params", "metrics.val/loss", "params.gone"]) == {
        "state": "FINISHED",
        "params.lr": 0.1,
        "metrics.val/loss": 0.5,
        "params.gone": None,
    }


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ('metrics."val/loss"', "metrics.val/loss"),
        ("params.`a``b`", "params.a`b"),
        ('params."', 'params."'),
        ("state", "state"),
    ],
)
def test_columns_may_be_quoted_as_in_filters(given: str, name: str) -> None:
    assert records.column_name(given) == name


def test_a_time_beyond_what_python_holds_is_none() -> None:
    assert records.time_of_us(2**63 - 1) is None
    assert records.time_of_us(-1) == datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def test_series_rows_of_points_and_of_buckets_have_the_same_columns() -> None:
    points = metric_pb2.MetricSeries(
        run=RUN, key="x", points=metric_pb2.MetricPoints(steps=[1], times_unix_us=[0], values=[2.0])
    )
    buckets = metric_pb2.MetricSeries(
        run=RUN,
        key="x",
        buckets=metric_pb2.MetricBuckets(
            first_steps=[0],
            last_steps=[9],
            last_times_unix_us=[0],
            counts=[10],
            mins=[1],
            maxs=[3],
            means=[2],
            lasts=[2],
        ),
    )
    (point,) = records.series_rows(points)
    (bucket,) = records.series_rows(buckets)
    assert list(point) == list(bucket)
    assert (point["count"], point["min"], point["max"]) == (1, 2.0, 2.0)
    assert (bucket["first_step"], bucket["step"], bucket["count"]) == (0, 9, 10)


def test_names_are_taken_short_and_long() -> None:
    assert project_name("digits") == project_name("projects/digits") == "projects/digits"
    assert run_name("0" * 32, "default") == run_name(RUN) == RUN
    assert run_names(RUN) == run_names([RUN]) == [RUN]
    assert token_name("0" * 32) == token_name("tokens/" + "0" * 32) == "tokens/" + "0" * 32


@pytest.mark.parametrize("text", ["", "A", "a-", "1a", "a" * 64, "projects/", "a/b"])
def test_what_is_no_project_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        project_name(text)


@pytest.mark.parametrize("text", ["", "0" * 32, RUN + "0", RUN.upper(), RUN + "\n"])
def test_what_is_no_run_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        run_name(text)


@pytest.mark.parametrize("runs", [[], [RUN, RUN.replace("default", "other")]])
def test_runs_must_be_of_one_project(runs: list[str]) -> None:
    with pytest.raises(InvalidInput):
        run_names(runs)


def test_rows_are_shown_in_short_and_in_notebooks_as_a_table() -> None:
    series = metric_pb2.MetricSeries(
        run=RUN, key="<loss>", points=metric_pb2.MetricPoints(steps=[1], times_unix_us=[0], values=[0.5])
    )
    rows = tables.Rows([series], records.series_rows)
    assert repr(rows) == "<Rows: 1 of MetricSeries: iterate, or to_arrow(), to_pandas(), to_polars()>"
    shown = rows._repr_html_()
    assert "<th>key</th>" in shown
    assert "<td>&lt;loss&gt;</td>" in shown
    assert "<td>0.5</td>" in shown
    assert "The first" not in shown
    assert repr(tables.Rows([], records.series_rows)).startswith("<Rows: 0: ")


@pytest.mark.parametrize("count", [tables.HTML_ROWS_MAX, tables.HTML_ROWS_MAX + 1])
def test_a_notebook_shows_the_first_rows_of_many(count: int) -> None:
    shown = tables.Rows(range(count), lambda number: [{"x": number}])._repr_html_()
    assert shown.count("<td>") == tables.HTML_ROWS_MAX
    assert ("The first 20 rows" in shown) == (count > tables.HTML_ROWS_MAX)
