"""How people name runs and experiments on the command line, and what they mean by it."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from penstock.client import Client

__all__ = ["ExperimentArgument", "ProjectOption", "RunArgument", "named_experiment", "named_run"]

ID_CHARS_MIN = 4
"""Fewest characters of an id that stand for a run."""

_ID_START = re.compile(r"[0-9a-f]+\Z")
_PAGE = re.compile(r"https?://[^/]+/(projects/[^/?#]+/runs/[0-9a-f]{32})(?:[/?#].*)?\Z")
_EXPERIMENT = re.compile(r"projects/[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?/experiments/(?:0|[1-9][0-9]{0,17})\Z")

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="projects/PROJECT/runs/ID, the address of its page, the id or its beginning, or the name, "
        "if no other run's is the same.",
    ),
]
ExperimentArgument = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="Its name, or projects/PROJECT/experiments/NUMBER.")
]
ProjectOption = Annotated[
    str,
    typer.Option("--project", "-p", envvar="PENSTOCK_PROJECT", help="The project. Not needed with a full name."),
]


def named_run(client: "Client", text: str, project: str) -> str:
    """The full name of a run, given as `RunArgument` says. Raises `NotFound`, `InvalidInput`."""
    from penstock.client.names import project_name, run_name

    page = _PAGE.match(text)
    if page is not None or text.startswith("projects/"):
        return run_name(page[1] if page is not None else text)
    parent = project_name(project)
    if len(text) == 32 and _ID_START.match(text):
        return run_name(text, parent)

    def found(filter: str) -> list[str]:
        runs = client.runs(parent, filter=filter, columns=["display_name"], show_deleted=True, limit=2)
        return [run.name for run in runs]

    beginning = text.lower()
    names = []
    if _ID_START.match(beginning) and len(beginning) >= ID_CHARS_MIN:
        names = found(f"run_id LIKE '{beginning}%'")
        if len(names) > 1:
            raise InvalidInput(f"Several runs of {parent} have ids that begin with {beginning}: give more of it.")
    if not names:
        quoted = text.replace("'", "''")
        names = found(f"display_name = '{quoted}'")
        if len(names) > 1:
            raise InvalidInput(f"Several runs of {parent} have the name {text!r}: give the id of one.")
    if not names:
        raise NotFound(f"No run of {parent} has the name {text!r}, or an id that begins so.", reason="RUN_NOT_FOUND")
    return names[0]


def named_experiment(client: "Client", text: str, project: str, stage: str | None = None) -> Any:
    """The experiment, given as `ExperimentArgument` says.

    Args:
        client: Asks the server.
        text: What was given.
        project: Where to look for a name.
        stage: `ACTIVE` or `DELETED`, if only one in that stage is meant. Of one name there may be several in the bin.

    Raises:
        NotFound: There is none.
        InvalidInput: There are several.
    """
    from penstock.api.tracking.v1 import tracking_service_pb2
    from penstock.client.records import experiment_record

    if _EXPERIMENT.match(text):
        return client.tracking.GetExperiment(tracking_service_pb2.GetExperimentRequest(name=text)).experiment
    # An empty name would mean all of them.
    experiments = client.experiments(project, display_name=text, show_deleted=True) if text else ()
    named = [found for found in experiments if stage in {None, experiment_record(found)["lifecycle_stage"]}]
    active = [found for found in named if experiment_record(found)["lifecycle_stage"] == "ACTIVE"]
    if not named:
        where = {"ACTIVE": " and is in use", "DELETED": " and is in the bin"}.get(stage or "", "")
        raise NotFound(f"No experiment of {project} has the name {text!r}{where}.", reason="EXPERIMENT_NOT_FOUND")
    if not active and len(named) > 1:
        raise InvalidInput(f"Several in the bin have the name {text!r}: {', '.join(found.name for found in named)}.")
    return (active or named)[0]
