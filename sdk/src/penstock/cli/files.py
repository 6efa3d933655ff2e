"""Commands about the files of runs: `file put`, `get`, `ls`, `rm`."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.artifacts import progress_bar
from penstock.cli.naming import ProjectOption, RunArgument, named_run
from penstock.cli.output import JsonOption, ago, confirm, hint, print_json, print_table, say

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Read and write the files of a run, which may change.")

LIST_LIMIT = 50
"""What a list shows unless told otherwise."""

DirectoryArgument = Annotated[str, typer.Argument(metavar="[DIRECTORY]", help="A directory of the run.")]
DirectoryOption = Annotated[str, typer.Option("--directory", "-d", help="A directory of the run.")]


@app.command()
def put(
    run: RunArgument,
    path: Annotated[Path, typer.Argument(help="A file, or a folder with all files below it.")],
    directory: DirectoryOption = "",
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Put files into a run, in place of those that are there. What is stored already is not sent again.

    \b
    Examples:
      penstock file put 3f2a plots/ --directory eval
    """
    from penstock.api.artifact.v1 import file_pb2
    from penstock.client import Client
    from penstock.client.records import directory_entry_record

    with Client() as client, progress_bar() as on_progress:
        name = named_run(client, run, project)
        files = client.put_files(name, path, directory=directory, on_progress=on_progress)
    if json:
        for file in files:
            print_json(directory_entry_record(file_pb2.DirectoryEntry(file=file)))
        return
    say(f"{len(files):,} files are in {directory or 'the run'}.")


@app.command()
def get(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is missing.")] = Path(),
    directory: DirectoryOption = "",
    project: ProjectOption = "default",
    json: JsonOption = False,
) -> None:
    """Download all files below a directory of a run. What is there already is not loaded again.

    \b
    Examples:
      penstock file get 3f2a out/
      penstock file get 3f2a model/ --directory model
    """
    from penstock.client import Client

    with Client() as client, progress_bar() as on_progress:
        name = named_run(client, run, project)
        files = client.get_files(name, folder, directory=directory, on_progress=on_progress)
    if json:
        print_json({"run": name, "files": [str(file) for file in files]})
        return
    say(f"{len(files):,} files are in {folder}.")


@app.command("ls")
def list_files(
    run: RunArgument,
    directory: DirectoryArgument = "",
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="All files below, instead of directories.")
    ] = False,
    project: ProjectOption = "default",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = LIST_LIMIT,
    json: JsonOption = False,
) -> None:
    """List a directory of a run. With --json, one document per line.

    \b
    Examples:
      penstock file ls 3f2a
      penstock file ls 3f2a model/data
    """
    from penstock.client import Client
    from penstock.client.records import directory_entry_record

    with Client() as client:
        name = named_run(client, run, project)
        entries = client.files(name, directory.rstrip("/"), recursive=recursive, limit=limit)
        found = [directory_entry_record(entry) for entry in entries]
    if json:
        for record in found:
            print_json(record)
        return
    if not found:
        hint("No file found. Put some with `penstock file put RUN PATH`.")
        return
    rows = [
        (f"{r['path']}/", "", "") if r["directory"] else (r["path"], f"{r['size_bytes']:,}", ago(r["update_time"]))
        for r in found
    ]
    print_table(["PATH", "BYTES", "CHANGED"], rows, numbers=["BYTES"])


@app.command("rm")
def remove(
    run: RunArgument,
    path: Annotated[str, typer.Argument(help="A file, or a directory with all files below it.")],
    project: ProjectOption = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a file of a run, or a directory with all files below it. Versions published from them keep theirs.

    \b
    Examples:
      penstock file rm 3f2a checkpoints --yes
    """
    from penstock.client import Client

    with Client() as client:
        name = named_run(client, run, project)
        confirm(f"Delete {path} of {name}?", yes=yes)
        count = client.delete_files(name, path.rstrip("/"))
    if json:
        print_json({"run": name, "path": path, "deleted": count})
        return
    say(f"Deleted {count:,} files.")
