"""Commands that move a version of a model between installations as one file: `model export`, `model import`.

They join the other commands of `model`, whose `app` this module hands on.
"""

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.artifacts import progress_bar
from penstock.cli.models import VersionArgument, app
from penstock.cli.naming import ProjectOption
from penstock.cli.output import JsonOption, print_json, say

__all__ = ["app", "export_version", "import_version"]


@app.command("export")
def export_version(
    version: VersionArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file. Default: MODEL-NUMBER.zip in this folder.")
    ] = None,
    project: ProjectOption = "default",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a version with its files, signature, metrics and baseline to one file, to import it elsewhere.

    \b
    Examples:
      penstock model export reader@production
      penstock model export reader/3 -o reader.zip
    """
    from penstock.client import Client

    with Client() as client, progress_bar() as on_progress:
        found = client.model_version(version, project=project)
        model = found.name.split("/")[3]
        file = output if output is not None else Path(f"{model}-{found.number}.zip")
        package = client.export_model_version(found.name, file, replace=force, on_progress=on_progress)
    files = 0 if package.artifact is None else sum(entry.HasField("file") for entry in package.artifact.entries)
    if json:
        print_json({"version": found.name, "file": str(file), "files": files, "size_bytes": file.stat().st_size})
        return
    say(f"{found.name} with {files:,} files is in {file}.")


@app.command("import")
def import_version(
    file: Annotated[Path, typer.Argument(help="What `penstock model export` wrote.")],
    project: ProjectOption = "default",
    model: Annotated[str | None, typer.Option("--model", help="The model; by default one of the same name.")] = None,
    artifact: Annotated[
        str | None, typer.Option("--artifact", help="The artifact of its files; by default one of the same name.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Register a version that was exported to a file, here or elsewhere. A repeat finds what was imported before.

    \b
    Example:
      penstock model import reader-3.zip -p digits
    """
    from penstock.client import Client
    from penstock.client.records import model_version_record

    with Client() as client, progress_bar() as on_progress:
        made = client.import_model_version(
            file, project=project, model=model, artifact=artifact, on_progress=on_progress
        )
    if json:
        print_json(model_version_record(made))
        return
    say(f"Registered {made.name}.")
