"""Exports of Neptune, imported by the command and read back point by point.

Neptune's exporter is not to be had from the package registry, so these files are not its own. They are written here with
pyarrow in the layout that it is documented to write, and no test compares that with the exporter itself.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.importing import Points, imported_files, imported_points, run_import
from support.platform import Platform
from support.training import bits

from penstock.client import Client
from penstock.client.records import run_record

pytestmark = pytest.mark.slow

SCHEMA = pa.schema(
    [
        ("project_id", pa.string()),
        ("run_id", pa.string()),
        ("attribute_path", pa.string()),
        ("attribute_type", pa.string()),
        ("step", pa.decimal128(18, 6)),
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("string_value", pa.string()),
        ("bool_value", pa.bool_()),
        ("datetime_value", pa.timestamp("ms", "UTC")),
        ("string_set_value", pa.list_(pa.string())),
        ("file_value", pa.struct([("path", pa.string())])),
    ]
)
BEGAN = datetime(2025, 3, 1, 12, tzinfo=UTC)
BEGAN_US = round(BEGAN.timestamp() * 1e6)


def value(run: str, path: str, kind: str, content: Any) -> dict[str, Any]:
    return {
        "project_id": "team/vision",
        "run_id": run,
        "attribute_path": path,
        "attribute_type": kind,
        f"{kind}_value": content,
    }


def attached(run: str, path: str, kind: str, place: str) -> dict[str, Any]:
    """A file, or several."""
    return {**value(run, path, "file", {"path": place}), "attribute_type": kind}


def series(run: str, path: str, points: Sequence[tuple[Any, int, float]]) -> list[dict[str, Any]]:
    """Points as step, milliseconds since the beginning, value."""
    return [
        {
            **value(run, path, "float", number),
            "attribute_type": "float_series",
            "step": Decimal(step),
            "timestamp": BEGAN + timedelta(milliseconds=after_ms),
        }
        for step, after_ms, number in points
    ]


def expected(points: Sequence[tuple[Any, int, float]]) -> list[tuple[int, int, str]]:
    return sorted((int(step), BEGAN_US + after_ms * 1000, bits(number)) for step, after_ms, number in points)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=100)


LOSS = [(step, step * 10, 1 / (step + 1)) for step in range(500)]
ODD = [(3, 1, float("nan")), (4, 2, float("inf")), (5, 3, -float("inf")), (2**35, 4, 5e-324)]
HALF = [("0.5", 1, 1.0), ("1.25", 2, 2.0)]
SINGLE = [
    value("RUN-1", "sys/name", "string", "baseline"),
    value("RUN-1", "sys/description", "string", "Some *notes*."),
    value("RUN-1", "sys/id", "string", "VIS-1"),
    value("RUN-1", "sys/creation_time", "datetime", BEGAN),
    value("RUN-1", "sys/ping_time", "datetime", BEGAN + timedelta(hours=1)),
    value("RUN-1", "sys/tags", "string_set", ["paper", "gpu"]),
    value("RUN-1", "sys/failed", "bool", True),
    value("RUN-1", "config/lr", "float", 0.01),
    value("RUN-1", "config/layers", "int", 3),
    value("RUN-1", "config/optimizer", "string", "adam"),
    value("RUN-1", "config/augment", "bool", False),
    attached("RUN-1", "model/weights", "file", "RUN-1/weights.bin"),
    attached("RUN-1", "model/gone", "file", "RUN-1/gone.bin"),
    attached("RUN-1", "model/out", "file", "../secret"),
    attached("RUN-1", "source", "file_set", "RUN-1/source"),
    attached("RUN-1", "samples", "file_series", "RUN-1/samples/0.png"),
    attached("RUN-1", "samples", "file_series", "RUN-1/samples/1.png"),
    value("RUN-1", "debug", "histogram_series", None),
]
FILES = {
    "RUN-1/weights.bin": b"weights",
    "RUN-1/source/train.py": b"train",
    "RUN-1/source/lib/net.py": b"net",
    "RUN-1/samples/0.png": b"0",
    "RUN-1/samples/1.png": b"1",
    "../secret": b"secret",
}


def test_everything_that_was_exported(platform: Platform, client: Client, tmp_path: Path) -> None:
    first = SINGLE + series("RUN-1", "train/loss", LOSS[:300]) + series("RUN-1", "odd", ODD)
    write(tmp_path / "data" / "team_vision_1" / "RUN-1_part_0.parquet", first)
    write(tmp_path / "data" / "team_vision_1" / "RUN-1_part_1.parquet", series("RUN-1", "train/loss", LOSS[300:]))
    write(tmp_path / "data" / "team_vision_1" / "RUN-2_part_0.parquet", series("RUN-2", "half", HALF))
    for path, content in FILES.items():
        place = tmp_path / "files" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    done = run_import(platform, "neptune-export", str(tmp_path / "data"), "-p", "np-all")
    assert done.exit_code == 0, done.error
    assert done.outcomes() == dict.fromkeys(("team/vision/RUN-1", "team/vision/RUN-2"), "imported")
    imported: Points = imported_points(client, done.runs["team/vision/RUN-1"]["run"])
    assert imported == {"train/loss": expected(LOSS), "odd": expected(ODD)}

    run = run_record(client.run(done.runs["team/vision/RUN-1"]["run"]))
    assert (run["display_name"], run["notes"], run["state"]) == ("baseline", "Some *notes*.", "FAILED")
    assert (run["start_time"], run["end_time"]) == (BEGAN, BEGAN + timedelta(hours=1))
    assert run["params"] == {"config/lr": 0.01, "config/layers": 3, "config/optimizer": "adam", "config/augment": False}
    assert {"paper": "", "gpu": "", "neptune.id": "VIS-1"}.items() <= run["tags"].items()
    [experiment] = client.experiments("np-all", display_name="team/vision")
    assert run["experiment"] == experiment.name
    assert imported_files(client, done.runs["team/vision/RUN-1"]["run"]) == {
        path: hashlib.sha256(FILES[place]).hexdigest()
        for path, place in {
            "model/weights": "RUN-1/weights.bin",
            "source/train.py": "RUN-1/source/train.py",
            "source/lib/net.py": "RUN-1/source/lib/net.py",
            "samples/0.png": "RUN-1/samples/0.png",
            "samples/1.png": "RUN-1/samples/1.png",
        }.items()
    }
    assert done.runs["team/vision/RUN-1"]["notices"] == [
        "Attributes of the type 'histogram_series' were left out.",
        "created project np-all",
        "The file 'model/gone' was left out: it cannot be read: No such file or directory.",
        "The file 'model/out' was left out: it has a place in the export that has a segment '..'.",
    ]

    half = imported_points(client, done.runs["team/vision/RUN-2"]["run"])["half"]
    assert [(step, number) for step, _, number in half] == [(0, bits(1.0)), (1, bits(2.0))]
    assert "fractions" in done.runs["team/vision/RUN-2"]["notices"][0]

    again = run_import(platform, "neptune-export", str(tmp_path / "data"), "-p", "np-all")
    assert (again.summary["files"], again.summary["files_added"]) == (5, 0)
    assert (set(again.outcomes().values()), again.summary["points_added"]) == ({"unchanged"}, 0)


def test_an_export_that_is_made_again(platform: Platform, client: Client, tmp_path: Path) -> None:
    write(tmp_path / "one.parquet", series("RUN-1", "z", LOSS[:200]) + series("RUN-1", "m", ODD[:2]))
    begun = run_import(platform, "neptune-export", str(tmp_path / "one.parquet"), "-p", "np-grown")
    # In another order, in another file, and with more of everything.
    rows = series("RUN-1", "a", LOSS[:50]) + series("RUN-1", "m", ODD[::-1]) + series("RUN-1", "z", LOSS)
    write(tmp_path / "again" / "two.parquet", rows)
    grown = run_import(platform, "neptune-export", str(tmp_path / "again"), "-p", "np-grown")
    assert (begun.summary["points_added"], grown.summary["points_added"]) == (202, 352)
    assert grown.outcomes() == {"team/vision/RUN-1": "continued"}
    points = imported_points(client, grown.runs["team/vision/RUN-1"]["run"])
    assert points == {"a": expected(LOSS[:50]), "m": expected(ODD), "z": expected(LOSS)}


def test_files_that_are_no_export(platform: Platform, client: Client, tmp_path: Path) -> None:
    write(tmp_path / "whole.parquet", series("RUN-1", "loss", LOSS[:5]))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-20])
    done = run_import(platform, "neptune-export", str(tmp_path), "-p", "np-damaged")
    expected_outcomes = {"other.parquet": "failed", "torn.parquet": "failed", "team/vision/RUN-1": "imported"}
    assert (done.exit_code, done.outcomes()) == (1, expected_outcomes)
    assert "no column 'project_id'" in done.runs["other.parquet"]["message"]
    assert "cannot be read as Parquet" in done.runs["torn.parquet"]["message"]
    empty = run_import(platform, "neptune-export", str(tmp_path / "nothing"))
    assert (empty.exit_code, empty.summary) == (3, {})
