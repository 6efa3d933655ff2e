"""Commands about artifacts: `artifact put`, `get`, `ls`, `cp`, `rm`, `quota`, `retention`."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.describing import key_values
from penstock.cli.naming import ProjectOption, named_run
from penstock.cli.output import JsonOption, ago, confirm, console, hint, pairs, print_json, print_table, say
from penstock.errors import InvalidInput

if TYPE_CHECKING:
    from penstock.client.artifact_files import Transfer

__all__ = ["app", "progress_bar"]

app = typer.Typer(no_args_is_help=True, help="Keep files: put them, get them, list and delete their versions.")

LIST_LIMIT = 50
"""What a list shows unless told otherwise."""

ArtifactArgument = Annotated[
    str, typer.Argument(metavar="ARTIFACT", help="Its name, or projects/PROJECT/artifacts/NAME in full.")
]
VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="ARTIFACT/NUMBER, ARTIFACT for the newest one, or the name in full.")
]
RunOption = Annotated[str | None, typer.Option("--run", help="The run that does it, for the lineage.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]


@app.command()
def put(
    artifact: ArtifactArgument,
    path: Annotated[Path | None, typer.Argument(help="A file, or a folder with all files below it.")] = None,
    project: ProjectOption = "default",
    type: Annotated[str, typer.Option("--type", "-t", help="What it is, such as model or dataset.")] = "",
    description: Annotated[str, typer.Option("--description", help="What is new in it, Markdown.")] = "",
    reference: Annotated[
        list[str] | None, typer.Option("--reference", help="PATH=URI: something outside, which is not copied.")
    ] = None,
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Publish files as the next version of an artifact. What is stored already is not sent again.

    \b
    Examples:
      penstock artifact put reader model/ --type model
      penstock artifact put corpus --reference train=s3://bucket/train.parquet --type dataset
    """
    from penstock.client import Client
    from penstock.client.records import artifact_version_record

    with Client() as client, progress_bar() as on_progress:
        version = client.put_artifact(
            artifact,
            path,
            project=project,
            type=type,
            description=description,
            references=key_values(reference, "--reference"),
            run=None if run is None else named_run(client, run, project),
            on_progress=on_progress,
        )
    _print_version(artifact_version_record(version), json, "Published")


@app.command()
def get(
    version: VersionArgument,
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is missing.")] = Path(),
    path: Annotated[
        list[str] | None, typer.Option("--path", help="Only this file; may be given several times.")
    ] = None,
    project: ProjectOption = "default",
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Download the files of a version. What is there already is not loaded again.

    \b
    Examples:
      penstock artifact get reader model/
      penstock artifact get reader/3 . --path weights.bin
    """
    from penstock.client import Client
    from penstock.client.records import artifact_version_record

    with Client() as client, progress_bar() as on_progress:
        found = client.artifact_version(version, project=project)
        if run is not None:
            client.use_artifact(found.name, named_run(client, run, project))
        files = client.get_artifact(found.name, folder, paths=path or None, on_progress=on_progress)
    if json:
        print_json({**artifact_version_record(found), "files": [str(file) for file in files]})
        return
    say(f"{len(files):,} files of {found.name} are in {folder}.")


@app.command("ls")
def list_artifacts(
    name: Annotated[str | None, typer.Argument(metavar="[ARTIFACT|VERSION]", help="What to look into.")] = None,
    project: ProjectOption = "default",
    limit: LimitOption = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List artifacts, the versions of one, or the files of a version. With --json, one document per line.

    \b
    Examples:
      penstock artifact ls -p digits
      penstock artifact ls reader
      penstock artifact ls reader/latest
    """
    from penstock.client import Client
    from penstock.client import records as to_record
    from penstock.client.names import artifact_name

    with Client() as client:
        if name is None:
            kind = "artifact"
            found = [to_record.artifact_record(one) for one in client.artifacts(project, limit=limit)]
        elif _is_artifact(lambda: artifact_name(name, project)):
            kind = "version"
            versions = client.artifact_versions(name, project=project, limit=limit)
            found = [to_record.artifact_version_record(one) for one in versions]
        else:
            kind = "file"
            entries = client.artifact_entries(name, project=project, limit=limit)
            found = [to_record.artifact_entry_record(one) for one in entries]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint(f"No {kind} found. Publish one with `penstock artifact put NAME PATH`.")
        return
    if kind == "artifact":
        rows = [(r["artifact"], r["type"], r["latest_version"] or "", ago(r["update_time"])) for r in found]
        print_table(["ARTIFACT", "TYPE", "LATEST", "CHANGED"], rows, numbers=["LATEST"])
    elif kind == "version":
        rows = [
            (f"{r['artifact']}/{r['version']}", r["file_count"], _size(r["size_bytes"]), ago(r["create_time"]))
            for r in found
        ]
        print_table(["VERSION", "FILES", "SIZE", "PUBLISHED"], rows, numbers=["FILES", "SIZE"])
    else:
        rows = [(r["path"], "" if r["size_bytes"] is None else _size(r["size_bytes"]), r["uri"] or "") for r in found]
        print_table(["PATH", "SIZE", "REFERENCE"], rows, numbers=["SIZE"])


@app.command()
def cp(
    version: VersionArgument,
    artifact: ArtifactArgument,
    project: ProjectOption = "default",
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Publish what a version has as the next version of another artifact of the project. No bytes are moved.

    \b
    Example:
      penstock artifact cp checkpoints/17 best
    """
    from penstock.client import Client
    from penstock.client.records import artifact_version_record

    with Client() as client:
        copied = client.copy_artifact(
            version, artifact, project=project, run=None if run is None else named_run(client, run, project)
        )
    _print_version(artifact_version_record(copied), json, "Published")


@app.command()
def rm(
    name: Annotated[str, typer.Argument(metavar="ARTIFACT|VERSION", help="An artifact, or a version by its number.")],
    project: ProjectOption = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a version, or an artifact with all its versions. The space is free after a day.

    \b
    Examples:
      penstock artifact rm reader/3
      penstock artifact rm reader --yes
    """
    from penstock.client import Client
    from penstock.client.names import artifact_name, artifact_version_name

    whole = _is_artifact(lambda: artifact_name(name, project))
    if whole:
        full = artifact_name(name, project)
        confirm(f"Delete {full} with all its versions?", yes=yes)
    else:
        full = artifact_version_name(name, project)
        if full.endswith("/latest"):
            raise InvalidInput("Name the version by its number: the newest one may be another by now.")
        confirm(f"Delete {full}?", yes=yes)
    with Client() as client:
        if whole:
            client.delete_artifact(full)
        else:
            client.delete_artifact_version(full)
    if json:
        print_json({"name": full, "deleted": True})
        return
    say(f"Deleted {full}.")


@app.command()
def quota(
    size: Annotated[
        str | None, typer.Argument(metavar="[BYTES|none]", help="The new quota; only shown if it is left away.")
    ] = None,
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Show what the artifacts of a project take, and how much they may; or set that.

    \b
    Examples:
      penstock artifact quota -p digits
      penstock artifact quota 50000000000 -p digits
    """
    from penstock.client import Client

    if size is not None and size != "none" and not (size.isascii() and size.isdecimal()):
        raise InvalidInput(f"{size!r} is no number of bytes.")
    with Client() as client:
        if size is not None:
            client.set_artifact_quota(None if size == "none" else int(size), project=project)
        storage = client.artifact_storage(project)
    limit = storage.quota_bytes if storage.HasField("quota_bytes") else None
    if json:
        print_json({"name": storage.name, "used_bytes": storage.used_bytes, "quota_bytes": limit})
        return
    pairs({"used": _size(storage.used_bytes), "quota": "none" if limit is None else _size(limit)})


@app.command()
def retention(
    versions: Annotated[
        int | None, typer.Option(help="So many of the newest versions of each artifact are kept.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Versions are kept until they are so many days old.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Keep all versions.")] = False,
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Show which versions of the artifacts of a project are kept; or set that. The others are deleted within hours.

    A version that a registered model names is always kept.

    \b
    Examples:
      penstock artifact retention -p digits
      penstock artifact retention --versions 10 --days 90 -p digits
      penstock artifact retention --all -p digits
    """
    from penstock.client import Client

    if everything and (versions is not None or days is not None):
        raise InvalidInput("Give --all, or --versions and --days.")
    with Client() as client:
        if everything or versions is not None or days is not None:
            client.set_artifact_retention(versions, days, project=project)
        storage = client.artifact_storage(project)
    kept = storage.retention if storage.HasField("retention") else None
    if json:
        found = {"versions": kept.versions_kept, "days": kept.days_kept} if kept else None
        print_json({"name": storage.name, "kept": found})
        return
    if kept is None:
        say("All versions are kept.")
        return
    pairs({"newest versions": f"{kept.versions_kept:,}", "younger than": f"{kept.days_kept:,} days"})


@contextmanager
def progress_bar() -> "Generator[Callable[[Transfer], None] | None, None, None]":
    """A bar of bytes on stderr, if that is a terminal. None where there is nobody to show it to."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        phase = ""

        def show(now: "Transfer") -> None:
            nonlocal phase
            if now.phase != phase:
                phase = now.phase
                progress.reset(task)
            said = f"{now.phase.capitalize()}, {now.files:,} of {now.files_total:,} files"
            progress.update(task, description=said, completed=now.bytes, total=now.bytes_total)

        yield show


def _print_version(record: dict[str, Any], json: bool, what: str) -> None:
    if json:
        print_json(record)
        return
    references = f" and {record['reference_count']:,} references" if record["reference_count"] else ""
    say(f"{what} {record['name']}: {record['file_count']:,} files{references}, {_size(record['size_bytes'])}.")


def _is_artifact(parse: Callable[[], str]) -> bool:
    """Whether a name is that of an artifact, not of a version."""
    try:
        parse()
    except InvalidInput:
        return False
    return True


def _size(size: int) -> str:
    """A number of bytes as people read it."""
    from rich.filesize import decimal

    return decimal(size)
