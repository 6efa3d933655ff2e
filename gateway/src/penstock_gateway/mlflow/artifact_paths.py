"""Paths of `mlflow-artifacts`: which run or logged model they lead to, and which file there.

MLflow's server keeps one tree of files, in which a run has `<location of its experiment>/<run>/artifacts`, and a logged model
`<location>/models/<model>/artifacts`. Here the files belong to the run or the model, wherever its experiment is.
"""

import re
from dataclasses import dataclass
from typing import Final

from penstock.artifact_paths import path_problem
from penstock_gateway.mlflow.errors import MlflowError, invalid
from penstock_gateway.mlflow.uris import decoded

__all__ = ["Place", "no_such_artifact", "place_of", "plain_path"]

_PLACE: Final = re.compile(
    r"(?:.*?/)??(?:(?P<run>[0-9a-f]{32})|models/(?P<model>m-[0-9a-f]{32}))/artifacts(?:/(?P<path>.*))?"
)
_REFUSED: Final = frozenset("#;\\")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the files of a run or a logged model.

    Attributes:
        parent: Its resource name.
        path: The path there, empty for all files.
    """

    parent: str
    path: str


def plain_path(path: str) -> str:
    """A path as a client gave it, decoded, without slashes at its end. Raises `MlflowError` for what leads astray."""
    plain = decoded(path, "path").rstrip("/")
    if (plain and path_problem(plain)) or not _REFUSED.isdisjoint(plain) or path.startswith("/"):
        raise invalid("Invalid path")
    return plain


def place_of(project: str, path: str) -> Place | None:
    """Where a plain path of `mlflow-artifacts` leads; None if neither to a run nor to a logged model."""
    match = _PLACE.fullmatch(path)
    if match is None:
        return None
    owner = f"runs/{match['run']}" if match["run"] else f"loggedModels/{match['model']}"
    return Place(f"projects/{project}/{owner}", match["path"] or "")


def no_such_artifact(path: str) -> MlflowError:
    """There is no file at a path."""
    return MlflowError("RESOURCE_DOES_NOT_EXIST", f"No such artifact: '{path}'")
