"""Brings one run to the server: its record, the rows that are not durable yet, its end.

Each step looks first at what the server has, so that all of it may be repeated, from any machine, after an end at any
moment:

1. The run is created under the id that is derived from its identity.
2. Params, tags and summary that differ are logged.
3. For each part a stream is opened. The server says how many points of it are durable; the rows behind them are sent.
4. The files that are not there, or not as they are in the source, are sent: see `penstock.importers.files`.
5. The versions of artifacts that it wrote are published, as far as they are not there: see `penstock.importers.artifacts`.
6. The run is ended as it ended in the source.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.api.tracking.v1 import experiment_pb2, run_pb2, tracking_service_pb2, tracking_service_pb2_grpc
from penstock.client._async.channel import AsyncChannel
from penstock.errors import Conflict, NotFound, PermissionDenied
from penstock.importers.artifacts import bring_artifacts
from penstock.importers.batches import POINT, PartSource
from penstock.importers.files import bring_files
from penstock.importers.model import Part, Source, SourceDamaged, SourceRun, derived_id
from penstock.sender.exchange import Exchange, Progress
from penstock.sender.link import Link
from penstock.spool.meta import SpoolMeta
from penstock.spool.values import TypedValue

__all__ = ["Uploaded", "upload"]

READ_SILENCE_S: Final = 120.0
"""How long the server may gather and sort before it hands out points."""
_EPOCH: Final = 1
"""Always the same: whoever opens a part's stream last has it."""
_ENTRIES_PER_CALL_MAX: Final = 1_000
_FIELDS: Final = ("name", "state", "lifecycle_stage", "end_time", "params", "tags", "summary")
_KINDS: Final = {
    "string": "string_value",
    "int": "int_value",
    "double": "double_value",
    "bool": "bool_value",
    "json": "json_value",
}


@dataclass(slots=True)
class Uploaded:
    """What becomes of a run, over all attempts to bring it.

    Attributes:
        run: `projects/{project}/runs/{run}`.
        created: Whether it was not there before.
        changed: Whether anything beside points was added or changed.
        points: Points of it that are durable now.
        points_added: Those among them that were not when the first attempt began.
        points_before: How many points of each part were durable when the first attempt came to it.
        files: Files of it that are there now.
        files_added: Those among them that were sent.
        artifacts: Versions of artifacts that it wrote and that are there now.
        artifacts_added: Those among them that were published.
        notices: For people: what was left out, created beside the run, or not applied.
        damage: Why not all of it could be read; None if it could.
    """

    run: str
    created: bool = False
    changed: bool = False
    points: int = 0
    points_added: int = 0
    points_before: dict[str, int] = field(default_factory=dict)
    files: int = 0
    files_added: int = 0
    artifacts: int = 0
    artifacts_added: int = 0
    notices: list[str] = field(default_factory=list)
    damage: SourceDamaged | None = None

    def note(self, text: str) -> None:
        """Takes note of something, once."""
        if text not in self.notices:
            self.notices.append(text)


async def upload(
    channel: AsyncChannel,
    source: Source,
    project: str,
    run: SourceRun,
    result: Uploaded,
    on_points: Callable[[int], None],
    on_bytes: Callable[[int], None],
) -> None:
    """Brings a run to the server, as far as it is not there. May be called again when it fails.

    Args:
        channel: The server.
        source: Where the run is from.
        project: The id of the project, created if it is missing.
        run: The run.
        result: Takes what becomes of it: the same one for each attempt.
        on_points: Told how many points were added so far.
        on_bytes: Told of the next so many bytes of files that were sent.

    Raises:
        Conflict: The run is in the bin, or the source was altered, or somebody else imports it at this moment.
        PenstockError: What the server said.
    """
    result.points = result.points_added = 0
    tracking: Any = tracking_service_pb2_grpc.TrackingServiceStub(channel)
    link = Link(channel, _meta(project, run, ""))
    stored = await _stored(tracking, result.run)
    if stored is None:
        try:
            await link.prepare(owner_alive=False)
        finally:
            # Also if the run could not be created yet: the next attempt will find the project there.
            if link.created_project:
                result.note(f"created project {link.created_project}")
        result.created = True
        stored = await _stored(tracking, result.run) or run_pb2.Run()
    if stored.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED:
        raise Conflict(
            f"The run {result.run} is in the bin. `penstock run restore {result.run}` takes it out.",
            reason="RUN_DELETED",
        )
    await _entries(tracking, source, run, stored, result)
    for part in run.parts:
        await _points(channel, project, run, part, result, on_points)
    await bring_files(channel, run, result, on_bytes)
    await bring_artifacts(channel, run, result, on_bytes)
    await _end(tracking, link, run, stored, result)


def _meta(project: str, run: SourceRun, writer_id: str) -> SpoolMeta:
    return SpoolMeta(
        run_id=run.run_id,
        writer_id=writer_id,
        project=project,
        start_time_us=run.start_time_us,
        experiment=run.experiment,
        display_name=run.display_name,
        notes=run.notes,
        group=run.group,
    )


async def _stored(tracking: Any, name: str) -> run_pb2.Run | None:
    """The run as the server has it; None if it has none, or no such project."""
    request = tracking_service_pb2.GetRunRequest(name=name)
    request.read_mask.paths.extend(_FIELDS)
    try:
        return (await tracking.GetRun(request)).run
    except (NotFound, PermissionDenied):
        # Of a project that does not exist nobody may read. Creating the run tells which it is.
        return None


async def _entries(tracking: Any, source: Source, run: SourceRun, stored: run_pb2.Run, result: Uploaded) -> None:
    """Logs params, tags and summary, as far as they differ."""
    had_params = {param.key: param.value for param in stored.params}
    had_tags = {tag.key: tag.value for tag in stored.tags}
    had_summary = {entry.key: entry.value for entry in stored.summary}
    tags = {**run.tags, "penstock.import.tool": source.tool, "penstock.import.source": source.location}
    params = {key: _value(value) for key, value in run.params.items()}
    summary = {key: _value(value) for key, value in run.summary.items()}
    new: list[Any] = [
        *(run_pb2.Param(key=key, value=value) for key, value in params.items() if key not in had_params),
        *(run_pb2.Tag(key=key, value=value) for key, value in tags.items() if had_tags.get(key) != value),
        *(
            run_pb2.SummaryEntry(key=key, value=value)
            for key, value in summary.items()
            if not _same(had_summary.get(key), value)
        ),
    ]
    for first in range(0, len(new), _ENTRIES_PER_CALL_MAX):
        some = new[first : first + _ENTRIES_PER_CALL_MAX]
        await tracking.LogBatch(
            tracking_service_pb2.LogBatchRequest(
                run=result.run,
                params=[entry for entry in some if isinstance(entry, run_pb2.Param)],
                tags=[entry for entry in some if isinstance(entry, run_pb2.Tag)],
                summary=[entry for entry in some if isinstance(entry, run_pb2.SummaryEntry)],
            )
        )
    for key, value in params.items():
        if key in had_params and not _same(had_params[key], value):
            await tracking.ChangeParam(
                tracking_service_pb2.ChangeParamRequest(run=result.run, param=run_pb2.Param(key=key, value=value))
            )
            result.changed = True
    result.changed = result.changed or bool(new)


async def _points(
    channel: AsyncChannel,
    project: str,
    run: SourceRun,
    part: Part,
    result: Uploaded,
    on_points: Callable[[int], None],
) -> None:
    """Streams the rows of a part that are not durable yet."""
    meta = _meta(project, run, derived_id(run.run_id, part.id))
    loop = asyncio.get_running_loop()
    rows = PartSource(
        meta, part, lambda: asyncio.run_coroutine_threadsafe(_durable(channel, result.run, part.metric), loop).result()
    )
    added_before = result.points_added
    last = Progress()

    def take(progress: Progress) -> None:
        nonlocal last
        last = progress
        before = result.points_before.setdefault(part.id, rows.points_before)
        result.points_added = added_before + progress.points - before
        on_points(result.points_added)

    await Exchange(rows, _EPOCH, take, follow=False).run(Link(channel, meta))
    if last.chain != rows.last_cut.chain or last.points != rows.last_cut.points_total:
        raise Conflict(
            f"Somebody else has written to the writer {meta.writer_id} of {result.run} meanwhile.",
            reason="DIGEST_CONFLICT",
        )
    result.points += last.points
    result.damage = result.damage or rows.reader.damage
    for key in sorted(rows.reader.left_out):
        result.note(f"The metric {key[:60]!r} was left out: its name is not allowed.")


async def _durable(channel: AsyncChannel, run: str, metric: str | None) -> Counter[bytes]:
    """The points of a metric that are durable, each as `POINT` packs it."""
    tracking: Any = tracking_service_pb2_grpc.TrackingServiceStub(channel)
    found: Counter[bytes] = Counter()
    request = tracking_service_pb2.ReadMetricPointsRequest(run=run, keys=[metric or ""])
    async for response in tracking.ReadMetricPoints(request, silence_s=READ_SILENCE_S):
        points = response.series.points
        found.update(map(POINT.pack, points.steps, points.times_unix_us, points.values))
    return found


async def _end(tracking: Any, link: Link, run: SourceRun, stored: run_pb2.Run, result: Uploaded) -> None:
    """Ends the run as it ended in the source, or goes on with it."""
    had_us = stored.end_time.ToMicroseconds() if stored.HasField("end_time") else None
    # Some tools note no end of a run that failed.
    end_us = None if run.state == "RUNNING" else (run.end_time_us or run.start_time_us)
    if run_pb2.RunState.Value(f"RUN_STATE_{run.state}") == stored.state and had_us == end_us:
        return
    if end_us is None:
        await tracking.ResumeRun(tracking_service_pb2.ResumeRunRequest(name=result.run))
    else:
        await link.finish_run(run.state, end_us, run.failure)
    result.changed = True


def _value(value: TypedValue) -> run_pb2.Value:
    message: Any = run_pb2.Value()
    setattr(message, _KINDS[value.kind], value.value)
    return message


def _same(one: run_pb2.Value | None, other: run_pb2.Value) -> bool:
    # By their bytes: NaN equals itself, 1 is not 1.0.
    return one is not None and one.SerializeToString() == other.SerializeToString()
