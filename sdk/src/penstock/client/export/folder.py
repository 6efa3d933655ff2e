"""The folder of an export while it is made: what is done of it, so that one that was cut short can go on.

It is made beside its place, in `<folder>.partial`, and moved there when it is whole. Until then it also holds `runs.bin`: the
runs as they were when the export began, each behind its length. The table of runs is made of them, and they are the order in
which points are read. A part gets its name once it is whole and on the disk, and `export.json` then says how many runs are in
whole parts. So whatever ends an export, the next one of the same goes on after the last whole part.
"""

import json
import secrets
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.client.export.files import replacing
from penstock.client.export.points import PointColumns, PointWriter, open_points
from penstock.client.export.runs import write_runs
from penstock.errors import InvalidInput
from penstock.jsonable import iso
from penstock.spool.files import read_json
from penstock.spool.locks import FolderLock

__all__ = ["ExportFolder", "Listing", "Part", "check_folder", "partial_folder"]

LAYOUT_VERSION = 1
"""Of the folder, in its `export.json`."""
MANIFEST = "export.json"
RUNS_TABLE = "runs.parquet"
METRICS_FOLDER = "metrics"
SNAPSHOT = "runs.bin"
LENGTH_BYTES = 4


class _ExportLock(FolderLock):
    FILE = "export.lock"


def check_folder(path: Path, *, replace: bool) -> None:
    """Raises `InvalidInput` unless there is nothing, an empty folder, or an export that is to be replaced."""
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"The folder {path.absolute().parent} does not exist.")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir() or not _is_export(path):
        # What somebody else put there is never removed.
        raise InvalidInput(f"{path} exists and is no export. Choose another place.")
    if not replace:
        raise InvalidInput(f"{path} exists. Replace it with --force, or replace=True.")


def _is_export(folder: Path) -> bool:
    return "layout" in (read_json(folder / MANIFEST) or {})


def partial_folder(target: Path) -> Path:
    """Where an export is until it is whole."""
    return target.with_name(f"{target.name}.partial")


class Listing:
    """The runs of an export, as they are being listed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.runs = 0
        self.points = 0

    def add(self, run: run_pb2.Run) -> None:
        """Adds a run with its latest metrics."""
        message = run.SerializeToString()
        self._file.write(len(message).to_bytes(LENGTH_BYTES, "little") + message)
        self.runs += 1
        self.points += sum(metric.points for metric in run.latest_metrics)


class Part:
    """A file of points, as it is being written.

    Attributes:
        runs: How many runs are in it; the caller counts them.
        points: How many points.
    """

    def __init__(self, writer: PointWriter) -> None:
        self._writer = writer
        self.runs = 0
        self.points = 0

    def add(self, piece: metric_pb2.MetricSeries) -> None:
        """Writes the points of one piece."""
        self._writer.add(piece)
        self.points += len(piece.points.steps)


class ExportFolder:
    """An export under way, which nobody else can work on. To be used with `with`.

    Where the runs could not even be listed, nothing of it stays.

    Args:
        target: Where it shall be.
        request: What it is an export of, as JSON can hold it.
        anew: Whether what is there of an export that was cut short is given up. Otherwise it goes on.

    Attributes:
        listed: Whether the runs have been listed, by this export or by the one that it goes on with.

    Raises:
        InvalidInput: Another process makes an export there now, or one of another request was cut short there.
        OSError: The folder cannot be made.
    """

    def __init__(self, target: Path, request: Mapping[str, Any], *, anew: bool) -> None:
        self._target = target
        self._partial = partial_folder(target)
        self._partial.mkdir(exist_ok=True)
        if any(self._partial.iterdir()) and not (
            (self._partial / _ExportLock.FILE).exists() or _is_export(self._partial)
        ):
            raise InvalidInput(f"{self._partial} exists and is no export. Choose another place.")
        lock = _ExportLock.try_acquire(self._partial)
        if lock is None:
            raise InvalidInput(f"Another process exports to {target} now.")
        self._lock = lock
        there = None if anew else read_json(self._partial / MANIFEST)
        if there is not None and there.get("request") != request:
            lock.release()
            raise InvalidInput(
                f"{self._partial} holds an export of something else that was cut short. Go on with that by the same "
                "filter and keys, give it up with --force, or replace=True, or choose another place."
            )
        self.listed = there is not None
        self._manifest: dict[str, Any] = {}
        if there is not None:
            self._manifest = there
            for unfinished in self._partial.rglob(".*"):
                unfinished.unlink()
        else:
            self._empty()
            self._manifest = {"layout": LAYOUT_VERSION, "request": request, "begin_time": iso(datetime.now(UTC))}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.listed:
            self._empty()
            (self._partial / _ExportLock.FILE).unlink()
            self._partial.rmdir()
        self._lock.release()

    @property
    def runs(self) -> int:
        """Runs of the export."""
        return self._manifest["runs"]

    @property
    def points_expected(self) -> int:
        """Points that the runs had when they were listed. Runs that go on have more by the time that they are read."""
        return self._manifest["points_expected"]

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The whole parts: `file`, `runs`, `points`."""
        return self._manifest["parts"]

    @contextmanager
    def list_runs(self, experiment_titles: Mapping[str, str]) -> Generator[Listing, None, None]:
        """Takes the runs in, and writes their table at the end of the block."""
        with replacing(self._partial / SNAPSHOT) as file:
            listing = Listing(file)
            yield listing
        with replacing(self._partial / RUNS_TABLE) as file:
            write_runs(self.listed_runs, experiment_titles, file)
        self._manifest |= {"runs": listing.runs, "points_expected": listing.points, "parts": []}
        (self._partial / METRICS_FOLDER).mkdir()
        self._write_manifest()
        self.listed = True

    def listed_runs(self, first: int = 0) -> Iterator[run_pb2.Run]:
        """The runs that were listed, but for the `first` ones."""
        if "end_time" in self._manifest:
            return  # it was cut short while it was moved to its place
        with (self._partial / SNAPSHOT).open("rb") as file:
            index = 0
            while length := file.read(LENGTH_BYTES):
                message = file.read(int.from_bytes(length, "little"))
                if index >= first:
                    yield run_pb2.Run.FromString(message)
                index += 1

    def runs_left(self) -> Iterator[run_pb2.Run]:
        """The runs that are in no whole part yet."""
        return self.listed_runs(sum(part["runs"] for part in self.parts))

    @contextmanager
    def part(self) -> Generator[Part, None, None]:
        """A new part. It is whole, and counts, at the end of the block."""
        name = f"{METRICS_FOLDER}/part-{len(self.parts) + 1:05}.parquet"
        columns = PointColumns(by_run=True, by_rank=True)
        with replacing(self._partial / name) as file, open_points(file, "parquet", columns) as writer:
            part = Part(writer)
            yield part
            writer.close()
        self.parts.append({"file": name, "runs": part.runs, "points": part.points})
        self._write_manifest()

    def finish(self) -> None:
        """Moves the export to its place. What was there before is gone then."""
        self._manifest |= {"points": sum(part["points"] for part in self.parts), "end_time": iso(datetime.now(UTC))}
        self._write_manifest()
        (self._partial / SNAPSHOT).unlink(missing_ok=True)
        former: Path | None = None
        if self._target.exists():
            former = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}")
            self._target.rename(former)
        self._lock.release()
        (self._partial / _ExportLock.FILE).unlink()
        self._partial.rename(self._target)
        if former is not None:
            shutil.rmtree(former)

    def _empty(self) -> None:
        for path in self._partial.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _ExportLock.FILE:
                path.unlink()

    def _write_manifest(self) -> None:
        with replacing(self._partial / MANIFEST) as file:
            file.write(json.dumps(self._manifest, indent=2, ensure_ascii=False).encode() + b"\n")
