"""Commands about projects: `project create`, `project list`."""

from typing import Annotated

import typer

from penstock.cli.output import JsonOption, ago, hint, print_json, print_table, say

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Create and list projects.")


@app.command()
def create(
    project_id: Annotated[
        str, typer.Argument(metavar="ID", help="1 to 63 of a-z, 0-9 and -, starting with a letter, not ending with -.")
    ],
    title: Annotated[str, typer.Option("--title", help="A name for people.")] = "",
    description: Annotated[str, typer.Option("--description", help="What it is for, Markdown.")] = "",
    json: JsonOption = False,
) -> None:
    """Create a project.

    \b
    Example:
      penstock project create digits --title "Handwritten digits"
    """
    from penstock.client import Client
    from penstock.client.records import project_record

    with Client() as client:
        project = client.create_project(project_id, title=title, description=description)
    if json:
        print_json(project_record(project))
        return
    say(f'Created {project.name}. Log to it with penstock.init(project="{project.name.removeprefix("projects/")}").')


@app.command("list")
def list_projects(json: JsonOption = False) -> None:
    """List the projects that you may read. With --json, one document per line.

    \b
    Example:
      penstock project list
    """
    from penstock.client import Client
    from penstock.client.records import project_record

    with Client() as client:
        if json:
            for project in client.projects():
                print_json(project_record(project))
            return
        records = [project_record(project) for project in client.projects()]
    if not records:
        hint("No project yet. Create one with `penstock project create ID`.")
        return
    rows = [(r["name"].removeprefix("projects/"), r["title"], ago(r["create_time"])) for r in records]
    print_table(["PROJECT", "TITLE", "CREATED"], rows)
