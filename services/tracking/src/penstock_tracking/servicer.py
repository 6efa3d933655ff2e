"""The gRPC face of tracking: unpack, call, pack."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.access import current_caller
from penstock_kit.clock import Clock
from penstock_kit.names import ExperimentName, LoggedModelName, ProjectName, RunName
from penstock_kit.server import draining
from penstock_kit.threads import in_thread
from penstock_tracking.alerts.service import AlertService
from penstock_tracking.alerts.servicer import AlertServicer
from penstock_tracking.convert import (
    RUN_FIELDS,
    change_from_log_batch,
    dataset_input_from_proto,
    dataset_input_to_proto,
    experiment_to_proto,
    group_to_proto,
    latest_to_proto,
    model_metrics_from_log_batch,
    param_change_to_proto,
    run_to_proto,
    time_to_us,
    updates_from_log_batch,
    updates_from_run,
    value_from_proto,
)
from penstock_tracking.domain import (
    Dataset,
    Experiment,
    ModelOutput,
    Run,
    RunEdit,
    RunState,
    key_problem,
    value_problem,
)
from penstock_tracking.errors import BatchInvalid, FieldInvalid, ServerStopping
from penstock_tracking.ingest.codec import KEYS_PER_BLOCK_MAX, digest_of
from penstock_tracking.ingest.streams import OpenWriterRequest, WriterStreams
from penstock_tracking.ingest.writer import Ack, WriterStream
from penstock_tracking.logged_models.service import LoggedModelService
from penstock_tracking.logged_models.servicer import LoggedModelServicer
from penstock_tracking.search import ExperimentQuery, GroupQuery, RunIndex, RunPage, RunQuery
from penstock_tracking.series.latest import LatestValue
from penstock_tracking.series.service import SeriesService
from penstock_tracking.series.servicer import SeriesServicer
from penstock_tracking.service import NewRun, TrackingService
from penstock_tracking.store import Stored

__all__ = ["TrackingServicer"]

SEARCH_PAGE_BYTES_MAX: Final = (
    4_000_000  # within the 4 MiB that gRPC clients usually receive; a single run may have more
)
RUNS_AT_ONCE: Final = 100  # of a page of a search: read and packed together
RUN_UPDATE_PATHS: Final = ("display_name", "experiment", "notes", "group")
EXPERIMENT_UPDATE_PATHS: Final = ("display_name", "description", "tags")
# Kinds of entries that a search returns by key: prefix of a column → field of Run.
COLUMN_KINDS: Final = {"params": "params", "tags": "tags", "summary": "summary", "metrics": "latest_metrics"}

T = TypeVar("T")


class TrackingServicer(SeriesServicer, LoggedModelServicer, AlertServicer):
    """Each method is the RPC of its name; what it does and which errors it has is in the contract."""

    def __init__(
        self,
        service: TrackingService,
        series: SeriesService,
        streams: WriterStreams,
        index: RunIndex,
        models: LoggedModelService,
        alerts: AlertService,
        clock: Clock,
    ) -> None:
        SeriesServicer.__init__(self, series, clock)
        LoggedModelServicer.__init__(self, models)
        AlertServicer.__init__(self, alerts)
        self._service = service
        self._streams = streams
        self._index = index
        self._clock = clock

    # Experiments

    async def CreateExperiment(self, request: Any, context: Any) -> Any:
        stored = await self._service.create_experiment(
            ProjectName.parse(request.parent),
            request.experiment.display_name,
            request.experiment.description,
            request.experiment.tags,
            artifact_location=request.experiment.artifact_location,
            refuse_deleted_name=request.refuse_deleted_name,
            request_id=request.request_id,
            by=current_caller().principal,
        )
        return pb.CreateExperimentResponse(experiment=_experiment(stored))

    async def GetExperiment(self, request: Any, context: Any) -> Any:
        stored = await self._service.get_experiment(ExperimentName.parse(request.name))
        return pb.GetExperimentResponse(experiment=_experiment(stored))

    async def ListExperiments(self, request: Any, context: Any) -> Any:
        if request.filter or request.order_by:
            return await self._found_experiments(request)
        fingerprint = paging.fingerprint(request)
        cursor = paging.place(request.page_token, fingerprint, bytes)
        experiments, after = await self._service.list_experiments(
            ProjectName.parse(request.parent),
            limit=paging.page_size(request.page_size),
            cursor=cursor,
            show_deleted=request.show_deleted,
            display_name=request.display_name,
        )
        return pb.ListExperimentsResponse(
            experiments=[_experiment(stored) for stored in experiments],
            next_page_token=paging.seal(fingerprint, after) if after is not None else "",
        )

    async def _found_experiments(self, request: Any) -> Any:
        query = ExperimentQuery(
            ProjectName.parse(request.parent).project,
            filter=request.filter,
            order_by=request.order_by,
            display_name=request.display_name,
            show_deleted=request.show_deleted,
            page_size=paging.page_size(request.page_size),
            page_token=request.page_token,
        )
        page = await self._service.search_experiments(query)
        return pb.ListExperimentsResponse(
            experiments=[_experiment(stored) for stored in page.experiments], next_page_token=page.next_page_token
        )

    async def UpdateExperiment(self, request: Any, context: Any) -> Any:
        paths = _paths(request.update_mask, EXPERIMENT_UPDATE_PATHS)
        new = request.experiment
        fields: dict[str, Any] = {
            "display_name": new.display_name,
            "description": new.description,
            "tags": dict(new.tags),
        }

        def change(experiment: Experiment) -> Experiment:
            return replace(experiment, **{path: fields[path] for path in paths})

        stored = await self._service.update_experiment(ExperimentName.parse(new.name), new.etag, change)
        return pb.UpdateExperimentResponse(experiment=_experiment(stored))

    async def DeleteExperiment(self, request: Any, context: Any) -> Any:
        stored = await self._service.delete_experiment(ExperimentName.parse(request.name))
        return pb.DeleteExperimentResponse(experiment=_experiment(stored))

    async def RestoreExperiment(self, request: Any, context: Any) -> Any:
        stored = await self._service.restore_experiment(ExperimentName.parse(request.name), all_runs=request.all_runs)
        return pb.RestoreExperimentResponse(experiment=_experiment(stored))

    # Runs

    async def CreateRun(self, request: Any, context: Any) -> Any:
        parent = ProjectName.parse(request.parent)
        run = request.run
        new = NewRun(
            run_id=request.run_id,
            experiment_id=_experiment_id(run.experiment, parent.project) if run.experiment else "",
            experiment_display_name=request.experiment_display_name,
            display_name=run.display_name,
            start_us=time_to_us(run.start_time) if run.HasField("start_time") else None,
            notes=run.notes,
            group=run.group,
            forked_from=run.forked_from,
            fork_step=run.fork_step,
            user=run.user,
            updates=updates_from_run(run),
            request_id=request.request_id,
        )
        stored, created = await self._service.create_run(parent, new, by=current_caller().principal)
        return pb.CreateRunResponse(run=_run(stored), created=created)

    async def GetRun(self, request: Any, context: Any) -> Any:
        stored = await self._service.get_run(RunName.parse(request.name))
        paths = RUN_FIELDS
        if request.read_mask.paths:
            paths = frozenset(_paths(request.read_mask, tuple(RUN_FIELDS), field="read_mask"))
        latest = await self._series.latest_of(stored.value) if "latest_metrics" in paths else []
        datasets: Mapping[str, Dataset] = {}
        if "datasets" in paths and stored.value.datasets:
            datasets = await self._service.datasets_of(stored.value.project, [stored.value])
        return pb.GetRunResponse(run=await in_thread(_packed_run, stored, latest, paths | {"name"}, datasets))

    async def SearchRuns(self, request: Any, context: Any) -> Any:
        parent = ProjectName.parse(request.parent)
        columns = _Columns.parse(request.columns)
        query = RunQuery(
            parent.project,
            filter=request.filter,
            order_by=request.order_by,
            experiment_ids=tuple(_experiment_id(name, parent.project) for name in request.experiments),
            show_deleted=request.show_deleted,
            page_size=paging.page_size(request.page_size),
            page_token=request.page_token,
            metric_keys=columns.metric_keys,
        )
        while True:
            page = await self._index.search(query)
            runs, taken = await self._found_runs(parent, page, columns)
            if taken == len(page.run_ids):
                return pb.SearchRunsResponse(runs=runs, next_page_token=page.next_page_token, total_size=page.total)
            # Asked again for as many as fit, so that the token goes on after the last of them.
            query = replace(query, page_size=taken)

    async def _found_runs(
        self, parent: ProjectName, page: RunPage, columns: "_Columns"
    ) -> tuple[list[run_pb2.Run], int]:
        """The first of the runs, as many as fit into `SEARCH_PAGE_BYTES_MAX` but one at least, and how many ids that took."""
        found: list[run_pb2.Run] = []
        bytes_left = SEARCH_PAGE_BYTES_MAX
        run_ids = page.run_ids
        for start in range(0, len(run_ids), RUNS_AT_ONCE):
            some = run_ids[start : start + RUNS_AT_ONCE]
            by_id = await self._service.get_runs(parent, some)
            latest = page.latest
            if columns.all_metrics:
                runs = [stored.value for stored in by_id.values()]
                read = await self._series.latest_of_all(runs)
                latest = {run.run_id: values for run, values in zip(runs, read, strict=True)}
            datasets: Mapping[str, Dataset] = {}
            if columns.datasets:
                datasets = await self._service.datasets_of(parent.project, [stored.value for stored in by_id.values()])
            packed = await in_thread(
                lambda by_id=by_id, latest=latest, datasets=datasets: {
                    run_id: columns.packed(stored, latest.get(run_id, []), datasets) for run_id, stored in by_id.items()
                }
            )
            for place, run_id in enumerate(some, start):
                run = packed.get(run_id)  # None: gone since
                bytes_left -= run.ByteSize() if run is not None else 0
                if bytes_left < 0 and place:
                    return found, place
                if run is not None:
                    found.append(run)
        return found, len(run_ids)

    async def GroupRuns(self, request: Any, context: Any) -> Any:
        parent = ProjectName.parse(request.parent)
        query = GroupQuery(
            parent.project,
            group_by=tuple(request.group_by),
            aggregates=tuple(request.aggregates),
            filter=request.filter,
            order_by=request.order_by,
            experiment_ids=tuple(_experiment_id(name, parent.project) for name in request.experiments),
            show_deleted=request.show_deleted,
            page_size=paging.page_size(request.page_size),
            page_token=request.page_token,
        )
        page = await self._index.group(query)
        groups = await in_thread(lambda: [group_to_proto(group) for group in page.groups])
        return pb.GroupRunsResponse(
            groups=groups, next_page_token=page.next_page_token, total_size=page.total, total_runs=page.total_runs
        )

    async def UpdateRun(self, request: Any, context: Any) -> Any:
        paths = _paths(request.update_mask, RUN_UPDATE_PATHS)
        name = RunName.parse(request.run.name)
        run = request.run
        edit = RunEdit(
            display_name=run.display_name if "display_name" in paths else None,
            experiment_id=_experiment_id(run.experiment, name.project) if "experiment" in paths else None,
            notes=run.notes if "notes" in paths else None,
            group=run.group if "group" in paths else None,
        )
        return pb.UpdateRunResponse(run=_run(await self._service.update_run(name, run.etag, edit)))

    async def FinishRun(self, request: Any, context: Any) -> Any:
        stored = await self._service.finish_run(
            RunName.parse(request.name),
            RunState(request.state),
            time_to_us(request.end_time) if request.HasField("end_time") else None,
            request.failure,
        )
        return pb.FinishRunResponse(run=_run(stored))

    async def ResumeRun(self, request: Any, context: Any) -> Any:
        return pb.ResumeRunResponse(run=_run(await self._service.resume_run(RunName.parse(request.name))))

    async def DeleteRun(self, request: Any, context: Any) -> Any:
        return pb.DeleteRunResponse(run=_run(await self._service.delete_run(RunName.parse(request.name))))

    async def RestoreRun(self, request: Any, context: Any) -> Any:
        return pb.RestoreRunResponse(run=_run(await self._service.restore_run(RunName.parse(request.name))))

    async def ChangeParam(self, request: Any, context: Any) -> Any:
        key = request.param.key
        value = value_from_proto(request.param.value, key)
        if problem := key_problem(key) or value_problem(value):
            raise FieldInvalid(f"The param cannot be changed: {problem}.", field="param")
        stored = await self._service.change_param(RunName.parse(request.run), key, value, by=current_caller().principal)
        return pb.ChangeParamResponse(
            run=_run(stored),
            history=[param_change_to_proto(change) for change in stored.value.param_history if change.key == key],
        )

    async def LogInputs(self, request: Any, context: Any) -> Any:
        name = RunName.parse(request.run)
        await self._service.log_inputs(
            name,
            [dataset_input_from_proto(dataset) for dataset in request.datasets],
            [_model_id(model, name.project) for model in request.models],
        )
        return pb.LogInputsResponse()

    async def LogOutputs(self, request: Any, context: Any) -> Any:
        name = RunName.parse(request.run)
        outputs = [ModelOutput(_model_id(output.model, name.project), output.step) for output in request.models]
        await self._service.log_outputs(name, outputs)
        return pb.LogOutputsResponse()

    # Points

    async def LogBatch(self, request: Any, context: Any) -> Any:
        now_us = self._clock.now_us()
        # The digest of the request as it came: points without a time get one only afterwards, and a repeat another.
        identity, content = await in_thread(
            lambda: (digest_of(request.SerializeToString(deterministic=True)), _content_of(request, now_us))
        )
        repeated = await self._service.log_batch(
            RunName.parse(request.run),
            content,
            updates_from_log_batch(request),
            identity,
            change_from_log_batch(request),
            model_metrics_from_log_batch(request, now_us),
        )
        return pb.LogBatchResponse(repeated_request=repeated)

    async def StreamMetrics(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("open"):
            raise FieldInvalid("The first message of a metric stream is `open`.", field="open")
        opening = OpenWriterRequest.checked(
            first.open.run, first.open.writer_id, first.open.epoch, first.open.rank, first.open.heartbeat_lease
        )
        stream = await self._streams.open(opening)
        tasks = [
            asyncio.create_task(self._read(requests, opening, stream), name="metric-stream-reader"),
            asyncio.create_task(_end_when_draining(stream, draining()), name="metric-stream-drain"),
        ]
        try:
            async with aclosing(stream.acks()) as acks:
                async for ack in acks:
                    yield _ack(ack)
        finally:
            try:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                await self._streams.close(stream)

    async def _read(self, requests: AsyncIterator[Any], opening: OpenWriterRequest, stream: WriterStream) -> None:
        """Takes messages until the sender closes; what goes wrong ends the stream by way of its acknowledgements."""
        closing = False
        try:
            async for request in requests:
                if stream.ending:
                    return
                kind = request.WhichOneof("message")
                if kind == "batch":
                    batch = request.batch
                    await self._streams.take_batch(opening.run, stream, batch.sequence, batch.digest, batch.content)
                elif kind == "heartbeat":
                    await self._streams.heartbeat(opening.run, stream)
                elif kind == "close":
                    await self._streams.end_lease(opening.run, stream)
                    closing = True
                    break
                else:
                    raise FieldInvalid("After `open` a metric stream takes `batch`, `heartbeat` and `close`.")
        except Exception as error:
            stream.fail(error)
        else:
            stream.end_input(closing=closing)


async def _end_when_draining(stream: WriterStream, stopping: asyncio.Event) -> None:
    await stopping.wait()
    stream.fail(ServerStopping("The server is stopping. What it acknowledged is durable; send the rest again."))


def _experiment(stored: Stored[Experiment]) -> Any:
    return experiment_to_proto(stored.value, stored.etag)


def _run(stored: Stored[Run]) -> run_pb2.Run:
    return run_to_proto(stored.value, stored.etag)


def _packed_run(
    stored: Stored[Run],
    latest: Sequence[tuple[str, LatestValue]],
    fields: frozenset[str],
    datasets: Mapping[str, Dataset],
) -> run_pb2.Run:
    run = run_to_proto(stored.value, stored.etag, fields)
    run.latest_metrics.extend(latest_to_proto(*entry) for entry in latest)
    run.datasets.extend(
        dataset_input_to_proto(use, datasets[use.dataset_id])
        for use in stored.value.datasets
        if use.dataset_id in datasets
    )
    return run


def _ack(ack: Ack) -> metric_pb2.StreamMetricsResponse:
    return metric_pb2.StreamMetricsResponse(
        acked_sequence=ack.sequence,
        chain=ack.chain,
        durable_points=ack.points,
        warnings=[
            metric_pb2.IngestWarning(sequence=warned.sequence, reason=warned.reason, message=warned.message)
            for warned in ack.warnings
        ],
        closed=ack.closed,
    )


def _paths(mask: FieldMask, allowed: Sequence[str], *, field: str = "update_mask") -> tuple[str, ...]:
    if not mask.paths:
        raise FieldInvalid(f"The mask must name at least one of {', '.join(sorted(allowed))}.", field=field)
    for path in mask.paths:
        if path not in allowed:
            raise FieldInvalid(f"The mask names {path!r}; it may name {', '.join(sorted(allowed))}.", field=field)
    return tuple(dict.fromkeys(mask.paths))


def _experiment_id(name: str, project: str) -> str:
    parsed = ExperimentName.parse(name)
    if parsed.project != project:
        raise FieldInvalid(f"{name} is not an experiment of the project {project}.", field="experiment")
    return parsed.experiment_id


def _model_id(name: str, project: str) -> str:
    parsed = LoggedModelName.parse(name)
    if parsed.project != project:
        raise FieldInvalid(f"{name} is not a logged model of the project {project}.", field="models")
    return parsed.model_id


class _Columns:
    """Which parts of a run a search returns."""

    def __init__(self, fields: set[str], kinds: dict[str, set[str] | None]) -> None:
        self._fields = fields
        self._kinds = kinds  # kind → keys, None meaning all

    @classmethod
    def parse(cls, columns: Sequence[str]) -> "_Columns":
        """Reads the columns of a request. Raises `FieldInvalid`."""
        if not columns:
            fields = set(RUN_FIELDS) - {"latest_metrics", "datasets"}
            return cls(fields, {"params": None, "tags": None, "summary": None})
        fields = {"name"}
        kinds: dict[str, set[str] | None] = {}
        for column in columns:
            kind, dot, key = column.partition(".")
            if dot and kind in COLUMN_KINDS:
                keys = kinds.setdefault(kind, set())
                if keys is not None:
                    keys.add(key.strip('"`'))
            elif column in COLUMN_KINDS:
                kinds[column] = None
            elif column in RUN_FIELDS:
                fields.add(column)
            else:
                raise FieldInvalid(
                    f"There is no column {column!r}: it is a field of Run, or params., tags., summary. or metrics. with "
                    "a key.",
                    field="columns",
                )
        return cls(fields, kinds)

    @property
    def all_metrics(self) -> bool:
        """Whether every metric of each run is wanted."""
        return "metrics" in self._kinds and self._kinds["metrics"] is None

    @property
    def metric_keys(self) -> tuple[str, ...]:
        """The metrics that are wanted by key."""
        return tuple(self._kinds.get("metrics") or ())

    @property
    def datasets(self) -> bool:
        """Whether the datasets of each run are wanted."""
        return "datasets" in self._fields

    def packed(
        self, stored: Stored[Run], latest: Sequence[tuple[str, LatestValue]], datasets: Mapping[str, Dataset]
    ) -> run_pb2.Run:
        """The run with nothing but the wanted parts."""
        run = stored.value
        narrow = replace(
            run,
            params=self._wanted("params", run.params),
            tags=self._wanted("tags", run.tags),
            summary=self._wanted("summary", run.summary),
        )
        fields = self._fields | {COLUMN_KINDS[kind] for kind in self._kinds}
        return _packed_run(Stored(narrow, stored.version), latest, frozenset(fields), datasets)

    def _wanted(self, kind: str, entries: Mapping[str, T]) -> Mapping[str, T]:
        keys = self._kinds.get(kind)
        return entries if keys is None else {key: value for key, value in entries.items() if key in keys}


def _content_of(request: Any, now_us: int) -> bytes:
    """The points of a LogBatch as the content of a batch: one block per set of points with the same step and time."""
    if not request.metrics:
        return b""
    missing_us = 0 if request.keep_zero_times else now_us
    content = metric_pb2.MetricBatchContent(collapse_identical=request.collapse_identical)
    number_of: dict[str, int] = {}
    columns: dict[int, tuple[list[int], list[int], list[float]]] = {}
    for point in request.metrics:
        key = point.key
        number = number_of.get(key)
        if number is None:
            if problem := key_problem(key):
                raise BatchInvalid(f"A metric key is not allowed: {problem}.")
            number = number_of[key] = len(number_of)
            columns[number] = ([], [], [])
        steps, times, values = columns[number]
        steps.append(point.step)
        times.append(point.time_unix_us or missing_us)
        values.append(point.value)
    content.new_keys.extend(metric_pb2.MetricKey(id=number, key=key) for key, number in number_of.items())
    # Keys that were measured at the same steps and times share a block.
    blocks: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for number, (steps, times, _) in columns.items():
        blocks.setdefault((tuple(steps), tuple(times)), []).append(number)
    for (steps, times), numbers in blocks.items():
        for start in range(0, len(numbers), KEYS_PER_BLOCK_MAX):
            key_ids = numbers[start : start + KEYS_PER_BLOCK_MAX]
            content.blocks.add(
                key_ids=key_ids,
                steps=steps,
                times_unix_us=times,
                values=[columns[number][2][row] for row in range(len(steps)) for number in key_ids],
            )
    return content.SerializeToString(deterministic=True)
