"""Commands about runs: `run list`, `group`, `show`, `tail`, `export`, `tag`, `delete`, `restore`."""

import secrets
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.export import ForceOption, FormatOption, KeysOption, output_target, progress_bar
from penstock.cli.naming import ProjectOption, RunArgument, named_experiment, named_run
from penstock.cli.output import (
    JsonOption,
    ago,
    console,
    duration,
    hint,
    pairs,
    print_json,
    print_table,
    say,
)
from penstock.errors import InvalidInput
from penstock.jsonable import iso
from penstock.spool.values import RESERVED_TAG_PREFIX, TEXT_CHARS_MAX, check_key, check_text

if TYPE_CHECKING:
    from penstock.api.tracking.v1 import metric_pb2
    from penstock.client import Client

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Find, group, show, follow, export, tag and delete runs.")

LIST_LIMIT = 20
"""Runs that `run list` shows unless told otherwise."""
LIST_COLUMNS = ("display_name", "experiment", "state", "start_time", "end_time")
"""Columns that `run list` shows unless told otherwise."""
STATE_STYLES = {"RUNNING": "cyan", "FINISHED": "green", "FAILED": "red", "KILLED": "yellow", "CRASHED": "red"}


@app.command("list")
def list_runs(
    project: ProjectOption = "default",
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", help="Only runs of the experiment of this name.")
    ] = None,
    filter: Annotated[str, typer.Option("--filter", "-f", help="Which runs: a search expression.")] = "",
    order_by: Annotated[str, typer.Option("--order-by", help="The order, such as 'metrics.loss asc'.")] = "",
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", "-c", help="What to show, with commas: display_name, state, params.lr, metrics.loss, ..."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs at most.")] = LIST_LIMIT,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those in the bin.")] = False,
    json: JsonOption = False,
) -> None:
    """List the runs of a project, newest first unless told otherwise. With --json, one document per line.

    \b
    Examples:
      penstock run list -p digits
      penstock run list -p digits -f 'metrics."val/loss" < 0.5'
      penstock run list -p digits --columns state,params.lr,metrics.loss
    """
    from penstock.client import Client
    from penstock.client.records import column_name, flat, run_record

    wanted = [column_name(c.strip()) for c in columns.split(",") if c.strip()] if columns is not None else []
    # With --json, everything unless columns are named; for people, what fits a terminal.
    asked = wanted or ([] if json else list(LIST_COLUMNS))
    with Client() as client:
        found = client.runs(
            project,
            filter=filter,
            order_by=order_by,
            columns=asked,
            experiments=[named_experiment(client, experiment, project).name] if experiment is not None else [],
            show_deleted=deleted,
            limit=limit,
        )
        if json:
            for run in found:
                record = run_record(run)
                if not wanted:
                    del record["metrics"]  # not asked for: a run may have thousands
                print_json(_only(record, wanted) if wanted else record)
            return
        records = [run_record(run) for run in found]
        titles = _experiment_titles(client, project, {record["experiment"] for record in records} if not wanted else ())
    if not records:
        if filter or experiment is not None:
            hint(f"No run of {project} matches. Without --filter and --experiment, all are listed.")
        else:
            hint(f'No run in {project} yet. Log one: penstock.init(project="{project.removeprefix("projects/")}").')
        return
    if not wanted:
        _print_runs(records, titles)
    else:
        from penstock.client.records import selected

        rows = [selected(flat(record), wanted) for record in records]
        names = list(dict.fromkeys(name for row in rows for name in row))
        ids = [_short_id(record["name"]) for record in records]
        numbers = [name for name in names if all(isinstance(row.get(name), int | float | None) for row in rows)]
        table = [(run_id, *(row.get(name) for name in names)) for run_id, row in zip(ids, rows, strict=True)]
        print_table(["RUN", *names], table, numbers=numbers)
    if len(records) == limit:
        hint(f"The first {limit}. More with --limit.")


@app.command("group")
def group_runs(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", "-b", help="What runs of a group share: params.<key>, tags.<key>, state, ...; repeat for more."
        ),
    ] = None,
    aggregate: Annotated[
        list[str] | None,
        typer.Option(
            "--agg",
            "-a",
            help="What is worked out: count, min, max, mean, sum, std, median of a field; repeat for more.",
        ),
    ] = None,
    project: ProjectOption = "default",
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", help="Only runs of the experiment of this name.")
    ] = None,
    filter: Annotated[str, typer.Option("--filter", "-f", help="Which runs: a search expression.")] = "",
    order_by: Annotated[str, typer.Option("--order-by", help="The order, such as 'mean(metrics.loss) asc'.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many groups at most.")] = LIST_LIMIT,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also runs in the bin.")] = False,
    json: JsonOption = False,
) -> None:
    """Group runs by what they share, and show what is worked out of each group. With --json, one document per line.

    \b
    Examples:
      penstock run group --by params.model --agg "min(metrics.val/loss)"
      penstock run group -b state -b experiment_name -a "mean(duration)" --order-by "count desc"
    """
    from penstock.client import Client
    from penstock.client.records import group_record

    fields, aggregates = by or [], aggregate or []
    with Client() as client:
        found = client.groups(
            project,
            fields,
            aggregates,
            filter=filter,
            order_by=order_by,
            experiments=[named_experiment(client, experiment, project).name] if experiment is not None else [],
            show_deleted=deleted,
            limit=limit,
        )
        rows = [group_record(group, fields, aggregates) for group in found]
    if json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        hint(f"No run of {project} matches.")
        return
    print_table([*fields, "RUNS", *aggregates], [list(row.values()) for row in rows], numbers=["RUNS", *aggregates])
    if len(rows) == limit:
        hint(f"The first {limit}. More with --limit.")


@app.command()
def show(run: RunArgument, project: ProjectOption = "default", json: JsonOption = False) -> None:
    """Show one run: its state, params, tags, summary and the latest value of each metric.

    \b
    Examples:
      penstock run show 3f2a -p digits
      penstock run show projects/digits/runs/3f2a61c09b5d4e7f8a9b0c1d2e3f4a5b --json
    """
    from penstock.client import Client
    from penstock.client.names import project_of
    from penstock.client.records import latest_record, run_record

    with Client() as client:
        found = client.run(named_run(client, run, project))
        record = run_record(found)
        metrics = [latest_record(metric) for metric in found.latest_metrics]
        titles = {} if json else _experiment_titles(client, project_of(found.name), {found.experiment})
    if json:
        print_json({**record, "metrics": {metric.pop("key"): metric for metric in metrics}})
        return
    _print_run(record, titles)
    if metrics:
        say("")
        print_table(
            ["METRIC", "LATEST", "STEP", "MIN", "MAX", "POINTS"],
            [[metric[name] for name in ("key", "value", "step", "min", "max", "points")] for metric in metrics],
            numbers=["LATEST", "STEP", "MIN", "MAX", "POINTS"],
        )
    elif record["state"] == "RUNNING":
        hint("No metrics yet. Follow it with `penstock run tail`.")


@app.command()
def tail(
    run: RunArgument,
    project: ProjectOption = "default",
    key: KeysOption = None,
    from_now: Annotated[bool, typer.Option("--from-now", help="Skip what is there already.")] = False,
    json: JsonOption = False,
) -> None:
    """Follow a run live, point by point, until it is over. With --json, one document per point or change of state.

    \b
    Examples:
      penstock run tail 3f2a -p digits --key val/loss
      penstock run tail 3f2a -p digits --json | jq .value
    """
    from penstock.client import Client
    from penstock.client.records import run_record

    state = ""
    with Client() as client:
        for event in client.watch(named_run(client, run, project), keys=key or (), from_now=from_now):
            if event.HasField("run"):
                record = run_record(event.run)
                if record["state"] != state:
                    state = record["state"]
                    _print_state(record, json)
            elif event.HasField("points"):
                _print_points(event.points, json)


@app.command()
def export(
    run: RunArgument,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file: .parquet, .arrow, .csv, .json or .jsonl; - is standard output."),
    ],
    project: ProjectOption = "default",
    key: KeysOption = None,
    by_rank: Annotated[bool, typer.Option("--by-rank", help="Tell the ranks of a distributed run apart.")] = False,
    format: FormatOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write every point of a run to a file, at full resolution.

    Columns: key, rank (with --by-rank), step, time, value. Parquet and Arrow need pyarrow; CSV and JSON need nothing.

    \b
    Examples:
      penstock run export 3f2a -p digits -o points.parquet
      penstock run export 3f2a -p digits -o - --format csv --key val/loss
    """
    from penstock.client import Client
    from penstock.client.export.files import check_file
    from penstock.client.export.points import format_of

    format_name = format_of(output, format)
    target = output_target(output, json=json)
    check_file(target, replace=force)
    with Client() as client, progress_bar(shown=target is output and not json) as on_progress:
        name = named_run(client, run, project)
        done = client.export_run(
            name, target, keys=key or (), by_rank=by_rank, format=format_name, replace=force, on_progress=on_progress
        )
    if json:
        print_json({"run": name, "file": str(output), "format": format_name, "points": done.points})
    elif target is output:
        say(f"Wrote {done.points:,} points to {output}.")


@app.command()
def tag(
    run: RunArgument,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Tags to set; one without = is a mere label.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A tag to remove; repeat for more.")] = None,
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Set and remove tags of a run. Prints those that it has then.

    \b
    Examples:
      penstock run tag 3f2a team=vision baseline -p digits
      penstock run tag 3f2a --remove baseline -p digits
    """
    wanted = _tags(tags or ())
    removed = [check_key(key, "A tag") for key in remove or ()]
    if not wanted and not removed:
        raise InvalidInput("Give tags to set, as KEY=VALUE, or to remove, with --remove KEY.")
    both = next((key for key in removed if key in wanted), None)
    if both is not None:
        raise InvalidInput(f"The tag {both!r} is both to be set and to be removed.")
    from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
    from penstock.client import Client
    from penstock.client.records import run_record

    with Client() as client:
        name = named_run(client, run, project)
        client.tracking.LogBatch(
            tracking_service_pb2.LogBatchRequest(
                run=name,
                tags=[run_pb2.Tag(key=key, value=value) for key, value in wanted.items()],
                removed_tags=removed,
                # The same tags may be meant twice: set, changed, and set again.
                request_id=secrets.token_hex(16),
            )
        )
        found = run_record(client.run(name, fields=["name", "tags"]))
    if json:
        print_json({"name": name, "tags": found["tags"]})
    elif found["tags"]:
        pairs(found["tags"], title="Tags")
    else:
        hint(f"{name} has no tag.")


@app.command()
def delete(run: RunArgument, project: ProjectOption = "default", json: JsonOption = False) -> None:
    """Move a run to the bin: it takes no more points, and lists leave it out.

    \b
    Example:
      penstock run delete 3f2a -p digits
    """
    from penstock.api.tracking.v1 import tracking_service_pb2
    from penstock.client import Client
    from penstock.client.records import run_record

    with Client() as client:
        name = named_run(client, run, project)
        response = client.tracking.DeleteRun(tracking_service_pb2.DeleteRunRequest(name=name))
    if json:
        print_json({"name": name, "lifecycle_stage": run_record(response.run)["lifecycle_stage"]})
        return
    say(f"Moved {name} to the bin. Take it out with `penstock run restore {name}`.")


@app.command()
def restore(run: RunArgument, project: ProjectOption = "default", json: JsonOption = False) -> None:
    """Take a run out of the bin.

    \b
    Example:
      penstock run restore 3f2a -p digits
    """
    from penstock.api.tracking.v1 import tracking_service_pb2
    from penstock.client import Client
    from penstock.client.records import run_record

    with Client() as client:
        name = named_run(client, run, project)
        response = client.tracking.RestoreRun(tracking_service_pb2.RestoreRunRequest(name=name))
    if json:
        print_json({"name": name, "lifecycle_stage": run_record(response.run)["lifecycle_stage"]})
        return
    say(f"Took {name} out of the bin.")


def _tags(texts: Iterable[str]) -> dict[str, str]:
    """Tags by key, of `KEY=VALUE` and `KEY`. Raises `InvalidInput`."""
    found: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if check_key(key, "A tag") in found:
            raise InvalidInput(f"The tag {key!r} is given twice.")
        if key.startswith(RESERVED_TAG_PREFIX):
            raise InvalidInput(f"Tags that begin with {RESERVED_TAG_PREFIX!r} are set by penstock itself.")
        found[key] = check_text(value, f"The tag {key!r}", TEXT_CHARS_MAX)
    return found


def _experiment_titles(client: "Client", project: str, names: Iterable[str]) -> dict[str, str]:
    """The names for people of experiments, by resource name."""
    left = set(names)
    titles: dict[str, str] = {}
    if left:
        for experiment in client.experiments(project, show_deleted=True):
            if experiment.name in left:
                left.remove(experiment.name)
                titles[experiment.name] = experiment.display_name or experiment.name.rpartition("/")[2]
            if not left:
                break
    return titles


def _only(record: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    """The asked part of a nested record, and the name."""
    kept: dict[str, Any] = {"name": record["name"]}
    for column in columns:
        kind, dot, key = column.partition(".")
        if dot and isinstance(record.get(kind), dict):
            kept.setdefault(kind, {})[key] = record[kind].get(key)
        elif column in record:
            kept[column] = record[column]
    return kept


def _print_runs(records: list[dict[str, Any]], titles: dict[str, str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from penstock.cli.output import cell

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in ("RUN", "NAME", "EXPERIMENT", "STATE", "STARTED", "DURATION"):
        table.add_column(column, no_wrap=column not in {"NAME", "EXPERIMENT"})
    for record in records:
        state = record["state"]
        table.add_row(
            Text(_short_id(record["name"])),
            Text(cell(record["display_name"])),
            Text(cell(titles.get(record["experiment"], ""))),
            Text(state.lower(), style=STATE_STYLES.get(state, "")),
            Text(ago(record["start_time"])),
            Text(_elapsed(record)),
        )
    console().print(table)


def _print_run(record: dict[str, Any], titles: dict[str, str]) -> None:
    facts = {
        "name": record["name"],
        "display name": record["display_name"],
        "state": record["state"].lower() + (" (in the bin)" if record["lifecycle_stage"] == "DELETED" else ""),
        "failure": record["failure"],
        "experiment": titles.get(record["experiment"], ""),
        "started": record["start_time"],
        "duration": _elapsed(record),
        "creator": record["creator"],
        "group": record["group"],
        "forked from": f"{record['forked_from']} at step {record['fork_step']}" if record["forked_from"] else "",
        "ranks": len(record["ranks"]) if len(record["ranks"]) > 1 else None,
        "notes": record["notes"],
    }
    pairs({name: value for name, value in facts.items() if value not in ("", None)})
    for kind in ("params", "tags", "summary"):
        if record[kind]:
            say("")
            pairs(record[kind], title=kind.capitalize())


def _print_state(record: dict[str, Any], json: bool) -> None:
    if json:
        print_json({"run": record["name"], "state": record["state"]})
        return
    failure = f": {record['failure']}" if record["failure"] else ""
    hint(f"{record['display_name'] or record['name']} is {record['state'].lower()}{failure}")


def _print_points(series: "metric_pb2.MetricSeries", json: bool) -> None:
    from penstock.client.records import series_rows

    for row in series_rows(series):
        time = row["time"]
        if json:
            point = {"key": row["key"], "step": row["step"], "time": time, "value": row["value"]}
            print_json(point if row["rank"] is None else {**point, "rank": row["rank"]})
        else:
            clock = time.astimezone().strftime("%H:%M:%S") if isinstance(time, datetime) else iso(datetime.now(UTC))
            sys.stdout.write(f"{clock}  step {row['step']:<8} {_plain(row['key'])} = {row['value']:.6g}\n")
    sys.stdout.flush()


def _plain(text: str) -> str:
    # What somebody logged must not be able to steer a terminal.
    return "".join(character if character.isprintable() else " " for character in text)


def _elapsed(record: dict[str, Any]) -> str:
    start = record["start_time"]
    end = record["end_time"] or (datetime.now(UTC) if record["state"] == "RUNNING" else None)
    return duration((end - start).total_seconds()) if start and end else ""


def _short_id(name: str) -> str:
    return name.rpartition("/")[2][:12]
