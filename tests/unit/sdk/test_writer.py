"""The writer: what `log()` takes, what it refuses, and what it does when the disk fails."""

import os
import resource
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.spools import batches_of, decoded, new_spool, points_of, spool_points

from penstock.errors import InvalidInput, InvalidType, LimitExceeded, RunFinished, SpoolFull
from penstock.spool import writer as writer_module
from penstock.spool.segments import segment_numbers
from penstock.spool.writer import DiscardingWriter, SpoolWriter


def _logged(writer: SpoolWriter) -> dict[tuple[str, int], float]:
    return {(key, step): value for key, step, _, value in points_of(decoded(batches_of(writer.folder)))}


class _OwnNumber:
    def __float__(self) -> float:
        return 2.5


def test_whatever_is_a_number_is_taken(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    row: dict[str, Any] = {
        "int": 3,
        "bool": True,
        "float32": np.float32(0.5),
        "int8": np.int8(-4),
        "0-d": np.array(1.5),
        "fraction": Fraction(1, 4),
        "own": _OwnNumber(),
    }
    writer.write_row(row, 0)
    writer.write_row(row, 1)
    writer.abandon()
    found = _logged(writer)
    for step in (0, 1):
        assert [found[key, step] for key in row] == [3.0, 1.0, 0.5, -4.0, 1.5, 0.25, 2.5]


def test_nested_mappings_are_flattened(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"train": {"loss": 1.0, "top": {"5": 2.0}}, "x": 3.0}, 0)
    writer.write_row({"train": {"loss": 4.0, "top": {"5": 5.0}}, "x": 6.0}, 1)
    writer.abandon()
    assert set(_logged(writer)) == {(key, step) for key in ("train/loss", "train/top/5", "x") for step in (0, 1)}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"ok": 1.0, "bad": "text"}, "'bad'"),
        ({"ok": 1.0, "bad": None}, "'bad'"),
        ({"bad": [1.0]}, "'bad'"),
        ({"bad": np.zeros(3)}, "'bad'"),
        ({"bad": 1j}, "'bad'"),
        ({"nested": {"bad": b"1"}}, "'nested/bad'"),
        ({1.5: 2.0}, "1.5"),
        ({"nested": {True: 2.0}}, "True"),
        ([("a", 1.0)], "list"),
        (5, "int"),
    ],
)
def test_what_is_no_number_is_named(tmp_path: Path, row: Any, named: str) -> None:
    writer = new_spool(tmp_path)
    for _ in range(2):
        # Also when the keys are known already.
        with pytest.raises(InvalidType, match=named) as caught:
            writer.write_row(row, 0)
        assert isinstance(caught.value, TypeError)
    writer.abandon()
    assert writer.points == 0
    assert not _logged(writer)


@pytest.mark.parametrize("bad", ["text", None, [1.0], np.zeros(2)])
def test_a_wrong_value_behind_known_keys_writes_nothing(tmp_path: Path, bad: Any) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"a": 1.0, "b": 2.0}, None)
    with pytest.raises(InvalidType, match="'b'"):
        writer.write_row({"a": 1.0, "b": bad}, None)
    writer.write_row({"a": 1.0, "b": 2.0}, None)
    writer.abandon()
    assert {step for _, step in _logged(writer)} == {0, 1}


@pytest.mark.parametrize("key", ["", "k" * 251, "a\nb", "a\x00", "a\x7f", "a\x85", "\ud800"])
def test_wrong_names(tmp_path: Path, key: str) -> None:
    writer = new_spool(tmp_path)
    with pytest.raises(InvalidInput, match="name"):
        writer.write_row({"ok": 1.0, key: 1.0}, 0)
    with pytest.raises(InvalidInput):
        writer.write_row({"n" * 200: {"m" * 60: 1.0}}, 0)
    writer.write_row({"k" * 250: 1.0, "ключ / key": 2.0}, 0)
    writer.abandon()
    assert writer.points == 2


def test_numbers_beyond_a_double(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    with pytest.raises(InvalidInput, match="'huge' is too large"):
        writer.write_row({"huge": 10**400}, 0)
    writer.abandon()


def test_a_name_that_is_twice_in_a_row(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    with pytest.raises(InvalidInput, match="twice"):
        writer.write_row({"a/b": 1.0, "a": {"b": 2.0}}, 0)
    writer.abandon()


def test_an_empty_row_is_nothing(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({}, None)
    writer.write_row({"a": {}}, None)
    assert (writer.points, writer.next_step) == (0, 0)
    writer.abandon()


def test_the_default_step_is_one_more_than_the_greatest(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    for step in (None, None, 10, None, 3, None, -5, None):
        writer.write_row({"a": 1.0}, step)
    writer.write_row({"system": 1.0}, 999, counts_steps=False)
    writer.write_row({"a": 1.0}, None)
    writer.abandon()
    assert [step for key, step, _, _ in points_of(decoded(batches_of(writer.folder))) if key == "a"] == [
        0,
        1,
        10,
        11,
        3,
        12,
        -5,
        13,
        14,
    ]


def test_the_last_step_of_all(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"a": 1.0}, 2**63 - 1)
    with pytest.raises(InvalidInput, match="step"):
        writer.write_row({"a": 1.0}, None)
    writer.write_row({"a": 1.0}, -(2**63))
    writer.abandon()
    assert writer.points == 2


def test_row_and_writer_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({f"k{index}": 1.0 for index in range(10_000)}, 0)
    with pytest.raises(InvalidInput, match="10,000"):
        writer.write_row({f"k{index}": 1.0 for index in range(10_001)}, 0)
    monkeypatch.setattr(writer_module, "KEYS_PER_WRITER_MAX", 10_001)
    writer.write_row({"one more": 1.0}, 0)
    with pytest.raises(LimitExceeded):
        writer.write_row({"too many": 1.0}, 0)
    writer.abandon()
    assert writer.points == 10_001


def test_more_key_sets_than_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_PLANS_MAX", 3)
    writer = new_spool(tmp_path)
    for step in range(50):
        writer.write_row({f"a{step % 7}": 1.0, "b": 2.0}, step)
    writer.abandon()
    assert sum(spool_points(writer.folder).values()) == 100


def test_after_the_end(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"a": 1.0}, 0)
    assert writer.finish("FINISHED", "", closes_run=True)
    assert writer.finish("FAILED", "", closes_run=True)
    with pytest.raises(RunFinished):
        writer.write_row({"a": 1.0}, 0)
    (batch,) = batches_of(writer.folder)
    assert batch.finish is not None
    assert (batch.finish["state"], batch.finish["points"], batch.finish["max_step"]) == ("FINISHED", 1, 0)


def test_many_threads(tmp_path: Path) -> None:
    writer = new_spool(tmp_path, segment_bytes=20_000)

    def work(number: int) -> None:
        for step in range(300):
            writer.write_row({f"t{number}": step, "shared": number}, step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.finish("FINISHED", "", closes_run=True)
    points = spool_points(writer.folder)
    assert sum(points.values()) == writer.points == 3600
    assert all(points[f"t{number}", step, float(step).hex()] == 1 for number in range(6) for step in range(300))


def test_a_spool_that_may_not_grow_drops_and_counts(tmp_path: Path) -> None:
    said: list[str] = []
    writer = new_spool(tmp_path, segment_bytes=1000, spool_bytes_max=3000, on_trouble=said.append)
    for step in range(200):
        writer.write_row({"a": step}, step)
    assert len(said) == 1
    assert "dropped" in said[0]
    assert writer.dropped > 0
    assert writer.points + writer.dropped == 200
    # Room again: the sender deletes what is durable.
    for number in segment_numbers(writer.folder)[:-1]:
        (writer.folder / f"{number:08d}.log").unlink()
    before = writer.points
    writer.write_row({"a": 1.0}, 1000)
    assert writer.points == before + 1
    writer.finish("FINISHED", "", closes_run=True)


def test_a_strict_writer_raises_when_there_is_no_room(tmp_path: Path) -> None:
    writer = new_spool(tmp_path, segment_bytes=1000, spool_bytes_max=2000, strict=True)
    with pytest.raises(SpoolFull) as caught:
        _fill(writer)
    assert isinstance(caught.value, OSError)
    writer.abandon()


def _fill(writer: SpoolWriter) -> None:
    for _ in range(200):
        writer.write_row({"a": 1.0}, None)


FULL_DISK = """
import resource, sys
from pathlib import Path
from support.spools import new_spool
writer = new_spool(Path(sys.argv[1]), on_trouble=lambda text: print("trouble", flush=True))
size = (writer.folder / "00000001.log").stat().st_size
# No file may grow further than this: a write is cut short there, and the next one fails.
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 405, resource.RLIM_INFINITY))
for step in range(30):
    writer.write_row({"a": step, "b": step}, step)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for step in range(30, 40):
    writer.write_row({"a": step, "b": step}, step)
writer.finish("FINISHED", "", closes_run=True)
print(writer.points, writer.dropped, writer.folder)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system has no limit for files")
def test_a_write_that_is_cut_short_leaves_nothing_torn(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        check=True,
    )
    *said, last = done.stdout.splitlines()
    points, dropped, folder = last.split(" ", 2)
    assert said == ["trouble"]
    assert int(dropped) > 0
    assert int(points) + int(dropped) == 80
    damage: list[Any] = []
    assert sum(spool_points(Path(folder), damage).values()) == int(points)
    assert damage == []


def test_an_interrupted_append_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the write and taking note of it: the row is on the disk, and counts once."""
    writer = new_spool(tmp_path, segment_bytes=2000)
    real_write = os.write
    hits = iter([3, 4, 9, 30, 31, 60])
    state = {"calls": 0, "next": next(hits)}

    def interrupted(descriptor: int, data: bytes) -> int:
        written = real_write(descriptor, data)
        state["calls"] += 1
        if state["calls"] == state["next"]:
            state["next"] = next(hits, -1)
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(os, "write", interrupted)
    returned = 0
    for step in range(120):
        try:
            writer.write_row({f"k{step % 5}": step, "x": 0.5}, step)
            returned += 1
        except KeyboardInterrupt:
            continue
    monkeypatch.undo()
    writer.finish("FINISHED", "", closes_run=True)
    damage: list[Any] = []
    points = spool_points(writer.folder, damage)
    assert damage == []
    assert max(points.values()) == 1
    assert sum(points.values()) == writer.points
    assert returned * 2 <= writer.points <= 240


def test_an_interrupted_short_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"a": 0.0}, 0)
    real_write = os.write

    def torn(descriptor: int, data: bytes) -> int:
        real_write(descriptor, data[:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", torn)
    with pytest.raises(KeyboardInterrupt):
        writer.write_row({"a": 1.0}, 1)
    monkeypatch.undo()
    writer.write_row({"a": 2.0}, 2)
    writer.finish("FINISHED", "", closes_run=True)
    damage: list[Any] = []
    assert {step for _, step, _ in spool_points(writer.folder, damage)} == {0, 2}
    assert damage == []


def test_the_end_can_be_written_from_a_signal_handler_in_the_midst_of_an_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_spool(tmp_path)
    real_write = os.write
    entered: list[bool] = []

    def handler_runs(descriptor: int, data: bytes) -> int:
        written = real_write(descriptor, data)
        if not entered:
            entered.append(True)
            writer.finish("KILLED", "", closes_run=True)
        return written

    monkeypatch.setattr(os, "write", handler_runs)
    writer.write_row({"a": 1.0}, 0)
    monkeypatch.undo()
    (batch,) = batches_of(writer.folder)
    assert batch.points == 1
    assert batch.finish is not None
    assert (batch.finish["state"], batch.finish["points"]) == ("KILLED", 1)


def test_a_disabled_writer_checks_and_keeps_nothing(tmp_path: Path) -> None:
    writer = DiscardingWriter()
    writer.write_row({"a": 1.0}, None)
    with pytest.raises(InvalidType):
        writer.write_row({"a": "text"}, None)
    assert (writer.points, writer.next_step) == (1, 1)
    broken = DiscardingWriter(reason=OSError("no disk"))
    broken.write_row({"a": 1.0, "b": 2.0}, None)
    assert (broken.points, broken.dropped) == (0, 2)
    assert not list(tmp_path.iterdir())
