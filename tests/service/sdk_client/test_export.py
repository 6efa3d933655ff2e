"""Exports of runs and projects, read with what people read them with: DuckDB, Polars, pyarrow."""

import hashlib
import json
import math
import os
import secrets
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from support.installation import Installation

from penstock import errors
from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.client import AsyncClient, Client
from penstock.client.export import points as export_points
from penstock.client.export import runs as export_runs
from penstock.client.export.progress import ExportProgress

STRANGE = struct.unpack("<d", bytes.fromhex("010000000000f87f"))[0]  # a NaN with a payload
ODD = [math.nan, STRANGE, math.inf, -math.inf, -0.0, 5e-324, 0.1]
TIME_US = 1_700_000_000_000_001


def batches(keys: Sequence[str], rows: Sequence[Sequence[float]], rows_per_batch: int) -> Iterator[Any]:
    """Batch messages of one writer: a row per step."""
    for sequence, first in enumerate(range(0, len(rows), rows_per_batch), 1):
        part = rows[first : first + rows_per_batch]
        content = metric_pb2.MetricBatchContent(
            new_keys=[metric_pb2.MetricKey(id=i, key=key) for i, key in enumerate(keys)] if sequence == 1 else [],
            blocks=[
                metric_pb2.MetricBlock(
                    key_ids=range(len(keys)),
                    steps=range(first, first + len(part)),
                    times_unix_us=range(TIME_US + first, TIME_US + first + len(part)),
                    values=[value for row in part for value in row],
                )
            ],
        )
        digest = hashlib.sha256(content.SerializeToString()).digest()
        batch = metric_pb2.MetricBatch(sequence=sequence, digest=digest, content=content)
        yield metric_pb2.StreamMetricsRequest(batch=batch)


def stream(
    client: Client, run: str, keys: Sequence[str], rows: Sequence[Sequence[float]], *, rank: int = 0, batch: int = 1000
) -> None:
    """Logs rows of a writer of its own, and returns when they are durable."""

    def requests() -> Iterator[metric_pb2.StreamMetricsRequest]:
        opening = metric_pb2.OpenWriter(run=run, writer_id=secrets.token_hex(16), epoch=1, rank=rank)
        yield metric_pb2.StreamMetricsRequest(open=opening)
        yield from batches(keys, rows, batch)
        yield metric_pb2.StreamMetricsRequest(close=metric_pb2.CloseWriter())

    assert [response.closed for response in client.tracking.StreamMetrics(requests())][-1]


def bits(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


@pytest.fixture
def runs(project: Any) -> tuple[str, str]:
    """Two runs: one of two ranks with odd values, one with a long series."""
    first = project.new_run(
        display_name="odd",
        params=[
            run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1)),
            run_pb2.Param(key="layers", value=run_pb2.Value(json_value="[1, 2]")),
            run_pb2.Param(key="seed", value=run_pb2.Value(int_value=2**62 + 1)),
        ],
        tags=[run_pb2.Tag(key="team", value="vision")],
        finished=True,
    )
    stream(project.client, first, ["loss", "odd"], [[i / 7, value] for i, value in enumerate(ODD)])
    stream(project.client, first, ["odd"], [[value] for value in reversed(ODD)], rank=3)
    second = project.new_run(
        display_name="long",
        params=[
            run_pb2.Param(key="lr", value=run_pb2.Value(int_value=1)),
            run_pb2.Param(key="mixed", value=run_pb2.Value(bool_value=True)),
        ],
    )
    stream(project.client, second, ["loss"], [[i / 3] for i in range(70_000)], batch=10_000)
    return first, second


def id_of(run: str) -> str:
    return run.rpartition("/")[2]


def test_a_project_is_read_by_duckdb_and_polars(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "all"
    seen: list[ExportProgress] = []
    done = project.client.export(project.id, folder, on_progress=seen.append)
    assert (done.path, done.runs, done.points, done.resumed) == (folder, 2, 70_021, False)
    assert seen[-1].points == seen[-1].points_total == 70_021
    assert seen[-1].runs_total == 2
    assert sorted(path.name for path in folder.rglob("*")) == [
        "export.json",
        "metrics",
        "part-00001.parquet",
        "runs.parquet",
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("all")] == ["all"]
    told = json.loads((folder / "export.json").read_text())
    assert (told["layout"], told["runs"], told["points"]) == (1, 2, 70_021)
    assert told["request"]["project"] == f"projects/{project.id}"

    first, second = map(id_of, runs)
    metrics = str(folder / "metrics" / "*.parquet")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        types = dict(row[:2] for row in db.execute(f"DESCRIBE SELECT * FROM '{metrics}'").fetchall())
        assert types == {
            "run_id": "VARCHAR",
            "key": "VARCHAR",
            "rank": "INTEGER",
            "step": "BIGINT",
            "time": "TIMESTAMP WITH TIME ZONE",
            "value": "DOUBLE",
        }
        query = (
            f"SELECT value, epoch_us(time) FROM '{metrics}' WHERE run_id = ? AND key = 'odd' AND rank = ? ORDER BY step"
        )
        for rank, values in ((0, ODD), (3, ODD[::-1])):
            found = db.execute(query, [first, rank]).fetchall()
            assert bits([value for value, _ in found]) == bits(values)
            assert [time for _, time in found] == [TIME_US + i for i in range(len(ODD))]
        joined = db.execute(
            f'SELECT display_name, "params.lr", "metrics.loss", count(*) FROM \'{folder}/runs.parquet\' '
            f"JOIN '{metrics}' USING (run_id) WHERE key = 'loss' GROUP BY ALL ORDER BY 4"
        ).fetchall()
        assert joined == [("odd", 0.1, 6 / 7, 7), ("long", 1.0, 69_999 / 3, 70_000)]

    frame = pl.read_parquet(metrics)
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    loss = frame.filter((pl.col("run_id") == second) & (pl.col("key") == "loss"))
    assert loss["step"].to_list() == list(range(70_000))
    assert bits(loss["value"].to_list()) == bits([i / 3 for i in range(70_000)])
    odd = frame.filter((pl.col("run_id") == first) & (pl.col("key") == "odd") & (pl.col("rank") == 0))
    assert bits(odd["value"].to_list()) == bits(ODD)


def test_the_table_of_runs_is_typed(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    project.client.export(project.id, tmp_path / "all")
    frame = pl.read_parquet(tmp_path / "all" / "runs.parquet")
    assert frame["run_id"].to_list() == [id_of(run) for run in runs]
    assert frame["name"].to_list() == list(runs)
    assert frame["experiment_name"].to_list() == ["Default", "Default"]
    assert frame["state"].to_list() == ["FINISHED", "RUNNING"]
    assert frame["ranks"].to_list() == [[0, 3], [0]]
    assert frame.schema["create_time"] == pl.Datetime("us", "UTC")
    # Whole numbers and fractions together are fractions; whole ones alone stay exact; a list is JSON.
    assert (frame.schema["params.lr"], frame["params.lr"].to_list()) == (pl.Float64, [0.1, 1.0])
    assert (frame.schema["params.seed"], frame["params.seed"].to_list()) == (pl.Int64, [2**62 + 1, None])
    assert frame["params.layers"].to_list() == ["[1, 2]", None]
    assert (frame.schema["params.mixed"], frame["params.mixed"].to_list()) == (pl.Boolean, [None, True])
    assert frame["tags.team"].to_list() == ["vision", None]
    assert frame["metrics.loss"].to_list() == [6 / 7, 69_999 / 3]
    with duckdb.connect() as db:
        table = db.execute(f"SELECT \"params.seed\" FROM '{tmp_path}/all/runs.parquet' ORDER BY 1").fetchall()
        assert table == [(2**62 + 1,), (None,)]


def test_a_kind_with_too_many_keys_is_one_column(
    project: Any, runs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_runs, "COLUMNS_PER_KIND_MAX", 1)
    project.client.export(project.id, tmp_path / "all")
    table = pq.read_table(tmp_path / "all" / "runs.parquet")
    assert "tags.team" in table.column_names
    assert not [name for name in table.column_names if name.startswith(("params.", "metrics."))]
    assert [json.loads(text) for text in table["params"].to_pylist()] == [
        {"layers": "[1, 2]", "lr": 0.1, "seed": 2**62 + 1},
        {"lr": 1, "mixed": True},
    ]
    assert json.loads(table["metrics"][1].as_py()) == {"loss": 69_999 / 3}


def test_filter_and_keys_select(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    done = project.client.export(project.id, tmp_path / "some", filter="display_name = 'odd'", keys=["loss"])
    assert (done.runs, done.points) == (1, 7)
    assert pq.read_table(tmp_path / "some" / "runs.parquet").column_names[-1] == "metrics.loss"
    assert set(pl.read_parquet(tmp_path / "some" / "metrics" / "*.parquet")["key"]) == {"loss"}
    with pytest.raises(errors.InvalidInput):
        project.client.export(project.id, tmp_path / "none", filter="nonsense (")
    with pytest.raises(errors.NotFound):
        project.client.export("gone", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("none")] == []


def test_keys_that_differ_in_case_alone(project: Any, tmp_path: Path) -> None:
    params = [run_pb2.Param(key=key, value=run_pb2.Value(double_value=len(key))) for key in ("lr", "LR", "a.b c")]
    project.new_run(params=params)
    project.client.export(project.id, tmp_path / "all")
    frame = pl.read_parquet(tmp_path / "all" / "runs.parquet")
    assert [frame[f"params.{key}"].to_list() for key in ("lr", "LR", "a.b c")] == [[2.0], [2.0], [5.0]]
    with duckdb.connect() as db:
        assert len(db.execute(f"SELECT COLUMNS('params.*') FROM '{tmp_path}/all/runs.parquet'").fetchall()[0]) == 3


def test_a_project_without_runs_has_the_columns(project: Any, tmp_path: Path) -> None:
    done = project.client.export(project.id, tmp_path / "none")
    assert (done.runs, done.points) == (0, 0)
    assert pl.read_parquet(tmp_path / "none" / "runs.parquet").height == 0
    frame = pl.read_parquet(tmp_path / "none" / "metrics" / "*.parquet")
    assert frame.columns == ["run_id", "key", "rank", "step", "time", "value"]
    assert frame.height == 0


@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv", "json", "jsonl"])
def test_a_project_into_one_file(project: Any, ending: str, tmp_path: Path) -> None:
    names = [project.new_run(display_name=name) for name in "ab"]
    for name in names:
        project.log(name, "loss", [0.5, math.inf])
    target = tmp_path / f"points.{ending}"
    done = project.client.export(project.id, target)
    assert (done.path, done.runs, done.points) == (target, 2, 4)
    read = {"parquet": pl.read_parquet, "arrow": pl.read_ipc, "csv": pl.read_csv, "jsonl": pl.read_ndjson}
    rows = json.loads(target.read_text()) if ending == "json" else read[ending](target).to_dicts()
    assert [(row["run_id"], row["key"], row["rank"], row["step"]) for row in rows] == [
        (id_of(name), "loss", 0, step) for name in names for step in (0, 1)
    ]
    assert [float(row["value"]) for row in rows] == [0.5, math.inf] * 2


def test_an_export_that_was_cut_short_goes_on(
    project: Any, runs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.client._sync import export as procedure

    monkeypatch.setattr(procedure, "POINTS_PER_PART", 1)
    folder = tmp_path / "all"

    def cut(progress: ExportProgress) -> None:
        if progress.runs == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project.client.export(project.id, folder, on_progress=cut)
    assert not folder.exists()
    partial = tmp_path / "all.partial"
    assert [path.name for path in (partial / "metrics").iterdir()] == ["part-00001.parquet"]
    before = (partial / "metrics" / "part-00001.parquet").read_bytes()
    # What a killed process leaves: a file under another name. And a run that came too late for this export.
    (partial / "metrics" / ".part-00002.parquet.0123abcd").write_bytes(b"torn")
    project.new_run(display_name="late")

    done = project.client.export(project.id, folder)
    assert (done.runs, done.points, done.resumed) == (2, 70_021, True)
    assert (folder / "metrics" / "part-00001.parquet").read_bytes() == before
    assert sorted(path.name for path in (folder / "metrics").iterdir()) == ["part-00001.parquet", "part-00002.parquet"]
    assert pl.read_parquet(folder / "metrics" / "*.parquet").height == 70_021
    assert pl.read_parquet(folder / "runs.parquet").height == 2
    assert not partial.exists()
    assert project.client.export(project.id, folder, replace=True).runs == 3


KILLED = """
import os, signal, sys
from penstock.client import Client
from penstock.client._sync import export as procedure
procedure.POINTS_PER_PART = 1
left = int(sys.argv[3])
def kill(progress):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
with Client() as client:
    client.export(sys.argv[1], sys.argv[2], on_progress=kill)
"""


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("calls", [1, 3, 5, 7])  # while runs are listed, and in each part
def test_an_export_that_was_killed_goes_on(project: Any, runs: tuple[str, str], calls: int, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    done = subprocess.run([sys.executable, "-c", KILLED, project.id, str(folder), str(calls)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert project.client.export(project.id, folder).points == 70_021
    frame = pl.read_parquet(folder / "metrics" / "*.parquet")
    assert frame.height == frame.unique(["run_id", "key", "rank", "step"]).height == 70_021
    assert pl.read_parquet(folder / "runs.parquet").height == 2
    assert [path.name for path in folder.rglob("*") if path.name.startswith(".")] == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("all")] == ["all"]


def test_another_request_does_not_cost_what_was_cut_short(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    def cut(progress: ExportProgress) -> None:
        if progress.points:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project.client.export(project.id, tmp_path / "all", on_progress=cut)
    with pytest.raises(errors.InvalidInput, match="an export of something else that was cut short"):
        project.client.export(project.id, tmp_path / "all", filter="display_name = 'long'")
    assert project.client.export(project.id, tmp_path / "all").resumed
    with pytest.raises(KeyboardInterrupt):
        project.client.export(project.id, tmp_path / "all", replace=True, on_progress=cut)
    done = project.client.export(project.id, tmp_path / "all", filter="display_name = 'long'", replace=True)
    assert (done.runs, done.resumed) == (1, False)


def test_an_export_that_was_cut_short_while_it_was_moved_is_moved(
    project: Any, runs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError, match="no"):
            project.client.export(project.id, tmp_path / "all")
    done = project.client.export(project.id, tmp_path / "all")
    assert (done.runs, done.points, done.resumed) == (2, 70_021, True)
    assert pl.read_parquet(tmp_path / "all" / "metrics" / "*.parquet").height == 70_021


def test_only_an_export_is_replaced(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("kept")
    for replace in (False, True):
        with pytest.raises(errors.InvalidInput, match="is no export"):
            project.client.export(project.id, mine, replace=replace)
    assert (mine / "notes.txt").read_text() == "kept"
    (tmp_path / "their.partial").mkdir()
    (tmp_path / "their.partial" / "notes.txt").write_text("kept")
    with pytest.raises(errors.InvalidInput, match="is no export"):
        project.client.export(project.id, tmp_path / "their", replace=True)
    assert [path.name for path in (tmp_path / "their.partial").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    project.client.export(project.id, tmp_path / "empty")
    with pytest.raises(errors.InvalidInput, match="Replace it with"):
        project.client.export(project.id, tmp_path / "empty")
    project.client.export(project.id, tmp_path / "empty", replace=True)
    assert pl.read_parquet(tmp_path / "empty" / "runs.parquet").height == 2
    assert [path.name for path in tmp_path.iterdir() if "empty" in path.name] == ["empty"]
    with pytest.raises(errors.InvalidInput, match="does not exist"):
        project.client.export(project.id, tmp_path / "gone" / "all")


def test_two_exports_to_one_place_do_not_meet(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    refused: list[str] = []

    def again(progress: ExportProgress) -> None:
        if not refused:
            with pytest.raises(errors.InvalidInput, match="Another process exports to"):
                project.client.export(project.id, tmp_path / "all")
            refused.append("yes")

    assert project.client.export(project.id, tmp_path / "all", on_progress=again).points == 70_021
    assert refused


def test_a_run_into_an_open_file(project: Any, runs: tuple[str, str], tmp_path: Path) -> None:
    with (tmp_path / "points").open("wb") as file:
        done = project.client.export_run(runs[0], file, format="parquet", by_rank=True, first_step=1, last_step=2)
        assert not file.closed
    assert (done.path, done.runs, done.points) == (None, 1, 6)
    frame = pl.read_parquet(tmp_path / "points")
    assert frame.columns == ["key", "rank", "step", "time", "value"]
    assert set(frame["step"]) == {1, 2}
    with pytest.raises(errors.InvalidInput, match="is no known format"):
        project.client.export_run(runs[0], tmp_path / "points.xyz")


async def test_the_asynchronous_client_exports_too(
    server: Installation, project: Any, runs: tuple[str, str], tmp_path: Path
) -> None:
    async with AsyncClient(server.connection) as client:
        assert (await client.export(project.id, tmp_path / "all")).points == 70_021
        assert (await client.export_run(runs[0], tmp_path / "run.parquet")).points == 21
    assert pl.read_parquet(tmp_path / "run.parquet").columns == ["key", "step", "time", "value"]


MEASURED = """
import sys
from penstock.client import Client
with Client() as client:
    done = getattr(client, sys.argv[1])(sys.argv[2], sys.argv[3])
# Not getrusage: what that tells begins with the memory of the process that forked this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(done.points, peak.split()[1])
"""
PEAK_KIB_MAX = 320 * 1024
"""Most that an export may take, of which 160 MB are libraries. Points that are all held as columns take twice this."""


@pytest.mark.parametrize(("method", "target"), [("export_run", "points.parquet"), ("export", "folder")])
@pytest.mark.usefixtures("home")
def test_memory_is_bounded(project: Any, method: str, target: str, tmp_path: Path) -> None:
    name = project.new_run()
    stream(project.client, name, [f"metric/{i}" for i in range(20)], [[0.5] * 20] * 200_000, batch=5000)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURED,
            method,
            name if method == "export_run" else project.id,
            str(tmp_path / target),
        ],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    points, peak_kib = map(int, done.stdout.split())
    assert points == 4_000_000
    assert peak_kib < PEAK_KIB_MAX


def test_few_points_are_one_row_group(project: Any, tmp_path: Path) -> None:
    name = project.new_run()
    for index in range(50):
        project.log(name, f"short/{index}", [0.5])
    project.client.export_run(name, tmp_path / "short.parquet")
    assert pq.ParquetFile(tmp_path / "short.parquet").num_row_groups == 1
    assert export_points.ROWS_PER_GROUP == 262_144
