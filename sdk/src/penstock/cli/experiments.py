"""Commands about experiments: `experiment list`, `create`, `delete`, `restore`."""

from typing import Annotated

import typer

from penstock.cli.naming import ExperimentArgument, ProjectOption, named_experiment
from penstock.cli.output import JsonOption, ago, hint, print_json, print_table, say
from penstock.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, create and delete experiments, which hold the runs of a project.")

NAME_CHARS_MAX = 500


@app.command("list")
def list_experiments(
    project: ProjectOption = "default",
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those in the bin.")] = False,
    json: JsonOption = False,
) -> None:
    """List the experiments of a project, newest first. With --json, one document per line.

    \b
    Example:
      penstock experiment list -p digits
    """
    from penstock.client import Client
    from penstock.client.records import experiment_record

    with Client() as client:
        found = client.experiments(project, show_deleted=deleted)
        if json:
            for experiment in found:
                print_json(experiment_record(experiment))
            return
        records = [experiment_record(experiment) for experiment in found]
    if not records:
        hint(f"No experiment in {project} yet. Create one with `penstock experiment create NAME -p {project}`.")
        return
    rows = [
        (
            r["display_name"],
            r["name"].rpartition("/")[2],
            "in the bin" if r["lifecycle_stage"] == "DELETED" else "",
            ago(r["create_time"]),
        )
        for r in records
    ]
    print_table(["EXPERIMENT", "NUMBER", "", "CREATED"], rows)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name, which no other in use has; at most 500 characters.")],
    project: ProjectOption = "default",
    description: Annotated[str, typer.Option("--description", help="What it is about, Markdown.")] = "",
    json: JsonOption = False,
) -> None:
    """Create an experiment. `penstock.init(experiment=NAME)` does it by itself, too.

    \b
    Example:
      penstock experiment create sweep -p digits
    """
    if not name.strip():
        raise InvalidInput("The name must not be empty.")
    if len(name) > NAME_CHARS_MAX:
        raise InvalidInput(f"The name has {len(name):,} characters, at most {NAME_CHARS_MAX} are allowed.")
    from penstock.api.tracking.v1 import experiment_pb2, tracking_service_pb2
    from penstock.client import Client
    from penstock.client.names import project_name
    from penstock.client.records import experiment_record

    with Client() as client:
        response = client.tracking.CreateExperiment(
            tracking_service_pb2.CreateExperimentRequest(
                parent=project_name(project),
                experiment=experiment_pb2.Experiment(display_name=name, description=description),
            )
        )
    if json:
        print_json(experiment_record(response.experiment))
        return
    say(f"Created {response.experiment.name}. Log to it with penstock.init(experiment={name!r}).")


@app.command()
def delete(experiment: ExperimentArgument, project: ProjectOption = "default", json: JsonOption = False) -> None:
    """Move an experiment and its runs to the bin.

    \b
    Example:
      penstock experiment delete sweep -p digits
    """
    from penstock.api.tracking.v1 import tracking_service_pb2
    from penstock.client import Client
    from penstock.client.records import experiment_record

    with Client() as client:
        name = named_experiment(client, experiment, project, "ACTIVE").name
        response = client.tracking.DeleteExperiment(tracking_service_pb2.DeleteExperimentRequest(name=name))
    if json:
        print_json(experiment_record(response.experiment))
        return
    say(f"Moved {name} and its runs to the bin. Take them out with `penstock experiment restore {name}`.")


@app.command()
def restore(experiment: ExperimentArgument, project: ProjectOption = "default", json: JsonOption = False) -> None:
    """Take an experiment, and the runs that were deleted with it, out of the bin.

    \b
    Example:
      penstock experiment restore sweep -p digits
    """
    from penstock.api.tracking.v1 import tracking_service_pb2
    from penstock.client import Client
    from penstock.client.records import experiment_record

    with Client() as client:
        name = named_experiment(client, experiment, project, "DELETED").name
        response = client.tracking.RestoreExperiment(tracking_service_pb2.RestoreExperimentRequest(name=name))
    if json:
        print_json(experiment_record(response.experiment))
        return
    say(f"Took {name} and the runs deleted with it out of the bin.")
