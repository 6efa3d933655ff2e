# Generated from _async/client.py by deploy/tools/unasync.py. Change that one.
"""The client of a Penstock server: friendly calls, and the generated stubs for everything else."""

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from types import TracebackType
from typing import IO, Any, Self

from google.protobuf import field_mask_pb2

from penstock import config
from penstock.api.artifact.v1 import artifact_service_pb2_grpc
from penstock.api.auth.v1 import auth_service_pb2_grpc
from penstock.api.registry.v1 import registry_service_pb2_grpc
from penstock.api.tracking.v1 import (
    experiment_pb2,
    metric_pb2,
    run_pb2,
    tracking_service_pb2,
    tracking_service_pb2_grpc,
)
from penstock.client import records
from penstock.client._sync.accounts import Accounts
from penstock.client._sync.alerts import Alerts
from penstock.client._sync.channel import Channel
from penstock.client._sync.export import Selection, export_project, export_project_points, export_run
from penstock.client._sync.following import SILENCE_S, following
from penstock.client._sync.packages import Packages
from penstock.client._sync.paging import Pages, Points
from penstock.client.export.files import check_file, target_of
from penstock.client.export.folder import check_folder
from penstock.client.export.points import format_of, is_folder
from penstock.client.export.progress import Exported, ExportProgress
from penstock.client.names import Named, project_name, project_of, run_name, run_names, several
from penstock.client.runtime_sync import Stream
from penstock.client.tables import Rows

__all__ = ["Client"]

TIMEOUT_S = 30.0
"""The deadline of a call that names none."""
READ_SILENCE_S = 120.0
"""How long a server may say nothing during full-resolution reads, where it may first have to gather and sort."""


class Client(Accounts, Alerts, Packages):
    """A client of one server. Opens no connection before the first call, so it is cheap to make and to keep.

        with Client() as client:
            for run in client.runs("digits", filter='metrics."val/loss" < 0.5'):
                print(run.display_name)

    Items are messages of the contract (`penstock.api`). Lists fetch their pages as they are read, and become tables with
    `to_arrow`, `to_pandas` or `to_polars`. A project is given as `digits` or `projects/digits`, a run as
    `projects/digits/runs/<32 hex digits>`.

    Every call raises the errors of `penstock.errors`: `ServerUnavailable`, `AuthenticationFailed`, `PermissionDenied`,
    `NotFound`, `InvalidInput` and so on. Calls that only read are repeated within their deadline while the server cannot be
    reached.

    Args:
        connection: The server; None finds it as `penstock.config.resolve` does.
        timeout_s: The deadline of a call that names none, all its attempts together.

    Attributes:
        auth: The generated stub of the auth service, on this client's authenticated channel.
        tracking: The generated stub of the tracking service, likewise.
        registry: The generated stub of the registry service, likewise.
        artifact_service: The generated stub of the artifact service, likewise.

    Raises:
        NotConnected: No connection was given and none is found.
    """

    def __init__(self, connection: config.Connection | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self.connection = config.resolve() if connection is None else connection
        self._channel = Channel(self.connection, timeout_s)
        self.auth: Any = auth_service_pb2_grpc.AuthServiceStub(self._channel)
        self.tracking: Any = tracking_service_pb2_grpc.TrackingServiceStub(self._channel)
        self.registry: Any = registry_service_pb2_grpc.RegistryServiceStub(self._channel)
        self.artifact_service: Any = artifact_service_pb2_grpc.ArtifactServiceStub(self._channel)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.connection.http}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every call that is under way. Safe to repeat."""
        self._channel.close()

    def experiments(
        self, project: str, *, display_name: str = "", show_deleted: bool = False
    ) -> Pages[experiment_pb2.Experiment]:
        """The experiments of a project, newest first.

        Args:
            project: The project.
            display_name: Only the one of exactly this name for people; empty means all.
            show_deleted: Whether those in the bin are listed too.
        """
        parent = project_name(project)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[experiment_pb2.Experiment], str]:
            response = self.tracking.ListExperiments(
                tracking_service_pb2.ListExperimentsRequest(
                    parent=parent,
                    page_size=page_size,
                    page_token=page_token,
                    show_deleted=show_deleted,
                    display_name=display_name,
                )
            )
            return response.experiments, response.next_page_token

        return Pages(fetch, lambda item: records.flat(records.experiment_record(item)), ["name", "display_name"])

    def runs(
        self,
        project: str,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        columns: str | Sequence[str] = (),
        experiments: str | Sequence[str] = (),
        show_deleted: bool = False,
        limit: int | None = None,
    ) -> Pages[run_pb2.Run]:
        """The runs of a project.

        Args:
            project: The project.
            filter: Which runs, such as `metrics."val/loss" < 0.5 and params.model like "resnet%"`; empty means all.
            order_by: The order, such as `metrics."val/loss" asc, start_time desc`; empty means newest first.
            columns: What each run carries beside its name: fields of Run, `params.<key>`, `tags.<key>`, `metrics.<key>`,
                `summary.<key>`, or `params`, `tags`, `metrics`, `summary` for all of a kind. None given means all fields
                but metrics.
            experiments: Only runs of these, `projects/{project}/experiments/{experiment}`.
            show_deleted: Whether runs in the bin are found too.
            limit: How many at most; None means all.

        Returns:
            The runs. As a table, one row per run, with a column per field and per key. Where columns were asked for, those
            and the name.
        """
        parent = project_name(project)
        wanted = [records.column_name(column) for column in several(columns)]

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[run_pb2.Run], str]:
            response = self.tracking.SearchRuns(
                tracking_service_pb2.SearchRunsRequest(
                    parent=parent,
                    filter=filter,
                    order_by=order_by,
                    page_size=page_size,
                    page_token=page_token,
                    columns=wanted,
                    experiments=several(experiments),
                    show_deleted=show_deleted,
                )
            )
            return response.runs, response.next_page_token

        def row_of(run: run_pb2.Run) -> dict[str, Any]:
            row = records.flat(records.run_record(run))
            return row if not wanted else records.selected(row, ["name", *wanted])

        kinds = {"params", "tags", "metrics", "summary"}
        return Pages(fetch, row_of, ["name", *(column for column in wanted if column not in kinds)], limit)

    def groups(
        self,
        project: str,
        by: str | Sequence[str] = (),
        aggregates: str | Sequence[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        experiments: str | Sequence[str] = (),
        show_deleted: bool = False,
        limit: int | None = None,
    ) -> Pages[tracking_service_pb2.RunGroup]:
        """The runs of a project in groups, and what is worked out of each.

            client.groups("digits", by="params.model", aggregates=["min(metrics.val/loss)", "mean(duration)"]).to_pandas()

        Args:
            project: The project.
            by: What the runs of a group share: at most five of `params.<key>`, `tags.<key>`, `summary.<key>`, and attributes
                such as `state` or `experiment_name`. None given means that all runs are one group.
            aggregates: At most 20 of `count(x)`, `min(x)`, `max(x)`, `mean(x)`, `sum(x)`, `std(x)`, `median(x)`, where x is a
                metric, a param or another field as in a filter.
            filter: Which runs; empty means all.
            order_by: The order, such as `min(metrics.val/loss) asc, count desc`; empty means that of the fields of `by`.
            experiments: Only runs of these, `projects/{project}/experiments/{experiment}`.
            show_deleted: Whether runs in the bin count too.
            limit: How many groups at most; None means all.

        Returns:
            The groups. As a table, one row per group: a column per field of `by`, the number of `runs`, and a column per
            aggregate, each under its own text.
        """
        parent, fields, wanted = project_name(project), several(by), several(aggregates)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[tracking_service_pb2.RunGroup], str]:
            response = self.tracking.GroupRuns(
                tracking_service_pb2.GroupRunsRequest(
                    parent=parent,
                    group_by=fields,
                    aggregates=wanted,
                    filter=filter,
                    order_by=order_by,
                    page_size=page_size,
                    page_token=page_token,
                    experiments=several(experiments),
                    show_deleted=show_deleted,
                )
            )
            return response.groups, response.next_page_token

        return Pages(
            fetch, lambda group: records.group_record(group, fields, wanted), [*fields, "runs", *wanted], limit
        )

    def run(self, name: str | Named, *, fields: Sequence[str] = ()) -> run_pb2.Run:
        """One run with params, tags, summary and latest values, deleted or not.

        Args:
            name: The run.
            fields: The fields of Run to return; none given means all.

        Raises:
            NotFound: There is no such run.
        """
        request = tracking_service_pb2.GetRunRequest(name=run_name(name))
        if fields:
            request.read_mask.CopyFrom(field_mask_pb2.FieldMask(paths=fields))
        response = self.tracking.GetRun(request)
        return response.run

    def metric_keys(
        self, runs: str | Named | Iterable[str | Named], *, prefix: str = "", pattern: str = ""
    ) -> Pages[str]:
        """The metric keys of one or several runs of one project, in order.

        Args:
            runs: The runs, at most 1,000.
            prefix: Only keys that start with this.
            pattern: Only keys in which this regular expression (RE2) is found.
        """
        names = run_names(runs)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[str], str]:
            response = self.tracking.ListMetricKeys(
                tracking_service_pb2.ListMetricKeysRequest(
                    parent=project_of(names[0]),
                    runs=names,
                    prefix=prefix,
                    pattern=pattern,
                    page_size=page_size,
                    page_token=page_token,
                )
            )
            return response.keys, response.next_page_token

        return Pages(fetch, records.key_record, ["key"])

    def latest(
        self, run: str | Named, *, keys: str | Sequence[str] = (), prefix: str = ""
    ) -> Rows[run_pb2.LatestMetric]:
        """The latest value of metrics of a run, by key: all of them, those named, or those that start with a prefix."""
        response = self.tracking.GetLatestMetrics(
            tracking_service_pb2.GetLatestMetricsRequest(run=run_name(run), keys=several(keys), prefix=prefix)
        )
        return Rows(response.metrics, lambda metric: [records.latest_record(metric)])

    def series(
        self,
        runs: str | Named | Iterable[str | Named],
        keys: str | Sequence[str],
        *,
        first_step: int | None = None,
        last_step: int | None = None,
        max_points: int = 0,
        by_rank: bool = False,
        across_ranks: bool = False,
    ) -> Rows[metric_pb2.MetricSeries]:
        """Series for a chart: those of many runs and keys in one call, reduced to at most `max_points` each.

        Minimum and maximum survive the reduction. A series without points is left out.

        Args:
            runs: The runs, at most 1,000, of one project.
            keys: The metrics, 1 to 1,000.
            first_step: Only from this step on.
            last_step: Only up to this step, which is included.
            max_points: At most 10,000; 0 means 1,000.
            by_rank: Whether each rank is a series of its own.
            across_ranks: Whether a series is made of buckets with the mean, minimum and maximum of all ranks at each step, or
                at several steps where there are more than `max_points`. Not with `by_rank`.

        Returns:
            The series, by run, key and rank. As a table, one row per point or bucket.
        """
        names = run_names(runs)
        response = self.tracking.GetMetricSeries(
            tracking_service_pb2.GetMetricSeriesRequest(
                parent=project_of(names[0]),
                runs=names,
                keys=several(keys),
                range=metric_pb2.StepRange(first=first_step, last=last_step),
                max_points=max_points,
                rank_mode=_rank_mode(by_rank, across_ranks),
            )
        )
        return Rows(response.series, records.series_rows)

    def history(
        self,
        run: str | Named,
        *,
        keys: str | Sequence[str] = (),
        first_step: int | None = None,
        last_step: int | None = None,
        by_rank: bool = False,
    ) -> Points:
        """Every point of a run, at full resolution and bit-exact.

        Args:
            run: The run.
            keys: Only these metrics, at most 10,000; none given means all.
            first_step: Only from this step on.
            last_step: Only up to this step, which is included.
            by_rank: Whether the ranks come apart.
        """
        request = tracking_service_pb2.ReadMetricPointsRequest(
            run=run_name(run),
            keys=several(keys),
            range=metric_pb2.StepRange(first=first_step, last=last_step),
            rank_mode=_rank_mode(by_rank),
        )

        def read() -> Stream[metric_pb2.MetricSeries]:
            responses = self.tracking.ReadMetricPoints(request, silence_s=READ_SILENCE_S)
            try:
                for response in responses:
                    yield response.series
            finally:
                responses.close()

        return Points(read, by_rank)

    def export_run(
        self,
        run: str | Named,
        file: str | PathLike[str] | IO[bytes],
        *,
        keys: str | Sequence[str] = (),
        first_step: int | None = None,
        last_step: int | None = None,
        by_rank: bool = False,
        format: str | None = None,  # noqa: A002 - as pandas and duckdb name it
        replace: bool = False,
        on_progress: Callable[[ExportProgress], object] | None = None,
    ) -> Exported:
        """Writes every point of a run to a file, at full resolution and bit-exact, in bounded memory.

        Columns: key, rank if ranks come apart, step, time, value. The file appears under its name when it is whole.

        Args:
            run: The run.
            file: A path, or an open binary file.
            keys: Only these metrics, at most 10,000; none given means all.
            first_step: Only from this step on.
            last_step: Only up to this step, which is included.
            by_rank: Whether the ranks come apart.
            format: `parquet`, `arrow`, `csv`, `json` or `jsonl`; None takes it from the path's ending.
            replace: Whether a file that is there may be replaced.
            on_progress: Is called after each piece.

        Raises:
            InvalidInput: The format is not known, or the file is there.
            MissingExtra: Parquet and Arrow need pyarrow.
        """
        target = target_of(file)
        format_ = format_of(target, format)
        check_file(target, replace=replace)
        return export_run(
            self,
            run_name(run),
            target,
            format_,
            keys=several(keys),
            first_step=first_step,
            last_step=last_step,
            by_rank=by_rank,
            tell=on_progress,
        )

    def export(
        self,
        project: str,
        path: str | PathLike[str] | IO[bytes],
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        keys: str | Sequence[str] = (),
        experiments: str | Sequence[str] = (),
        show_deleted: bool = False,
        format: str | None = None,  # noqa: A002 - as pandas and duckdb name it
        replace: bool = False,
        on_progress: Callable[[ExportProgress], object] | None = None,
    ) -> Exported:
        """Writes the runs of a project and every point of them, at full resolution and bit-exact, in bounded memory.

        A folder gets `runs.parquet`, with a row per run, and `metrics/part-*.parquet`, with columns run_id, key, rank, step,
        time, value, as `penstock.client.export` describes. It appears under its name when it is whole. An export that was
        cut short goes on after what it has when it is called again with the same arguments: then the runs are those that
        there were when it began. A file (a path with the ending of a format, or a format is given) gets the points alone.

        Args:
            project: The project.
            path: A folder, or a file.
            filter: Which runs; empty means all.
            keys: Only these metrics, at most 10,000; none given means all.
            experiments: Only runs of these, `projects/{project}/experiments/{experiment}`.
            show_deleted: Whether runs in the bin are exported too.
            format: Of a file: `parquet`, `arrow`, `csv`, `json` or `jsonl`; None takes it from the path's ending.
            replace: Whether an export or file that is there may be replaced. One that was cut short is begun anew then.
            on_progress: Is called after each piece.

        Raises:
            InvalidInput: The format is not known, or something else is there, or another process exports to it now, or an
                export with other arguments was cut short there.
            MissingExtra: Everything but CSV and JSON needs pyarrow.
        """
        target = target_of(path)
        chosen = Selection(project_name(project), filter, several(experiments), show_deleted, several(keys))
        if is_folder(target, format):
            check_folder(target, replace=replace)
            return export_project(self, chosen, target, anew=replace, tell=on_progress)
        format_ = format_of(target, format)
        check_file(target, replace=replace)
        return export_project_points(self, chosen, target, format_, on_progress)

    def watch(
        self, run: str | Named, *, keys: str | Sequence[str] = (), cursor: str = "", from_now: bool = False
    ) -> Stream[metric_pb2.RunEvent]:
        """Follows a run live: its record, then each point once. Ends when the run is over and all points were told.

        Goes on by itself, without a gap or a repeat, when the server was away for less than a minute.

        Args:
            run: The run.
            keys: Only these metrics, at most 1,000; none given means all.
            cursor: Where to resume, from an event before; empty means from the first point.
            from_now: With an empty cursor: skip the points that are there already.

        Raises:
            ServerUnavailable: The server went away and did not return.
        """
        name = run_name(run)

        def begin() -> Stream[tracking_service_pb2.WatchRunResponse]:
            request = tracking_service_pb2.WatchRunRequest(
                run=name, cursor=cursor, keys=several(keys), from_now=from_now
            )
            return self.tracking.WatchRun(request, silence_s=SILENCE_S)

        responses = following(begin, ends=True)
        try:
            for response in responses:
                cursor = response.event.cursor or cursor
                yield response.event
        finally:
            responses.close()


def _rank_mode(by_rank: bool, across_ranks: bool = False) -> metric_pb2.RankMode:
    if across_ranks:
        if by_rank:
            raise ValueError("by_rank and across_ranks exclude each other")
        return metric_pb2.RANK_MODE_ACROSS
    return metric_pb2.RANK_MODE_APART if by_rank else metric_pb2.RANK_MODE_TOGETHER
