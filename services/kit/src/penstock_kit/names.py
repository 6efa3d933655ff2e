"""Resource names, parsed once at the edge: inside the servers there is a `RunName`, never a string that gets split.

`run_id` is a segment, `run_name` a path: `projects/{project}/runs/{run}`.
"""

import re
from dataclasses import dataclass
from typing import Self

from penstock_kit.errors import InvalidInput

__all__ = ["ExperimentName", "NameInvalid", "ProjectName", "RunName"]

_PROJECT = r"projects/(?P<project>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_PROJECT_RE = re.compile(_PROJECT + r"\Z")
_EXPERIMENT_RE = re.compile(_PROJECT + r"/experiments/(?P<id>0|[1-9][0-9]{0,17})\Z")
_RUN_RE = re.compile(_PROJECT + r"/runs/(?P<id>[0-9a-f]{32})\Z")


class NameInvalid(InvalidInput):
    """A resource name is malformed."""

    reason = "NAME_INVALID"


@dataclass(frozen=True, slots=True)
class ProjectName:
    """`projects/{project}`."""

    project: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _PROJECT_RE.match(text)
        if match is None:
            raise NameInvalid(f"{text!r} is not a project name: it should look like projects/my-project.")
        return cls(match["project"])

    def __str__(self) -> str:
        return f"projects/{self.project}"


@dataclass(frozen=True, slots=True)
class ExperimentName:
    """`projects/{project}/experiments/{experiment}`."""

    project: str
    experiment_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _EXPERIMENT_RE.match(text)
        if match is None:
            raise NameInvalid(
                f"{text!r} is not an experiment name: it should look like projects/my-project/experiments/7."
            )
        return cls(match["project"], match["id"])

    @property
    def parent(self) -> ProjectName:
        """The project."""
        return ProjectName(self.project)

    def __str__(self) -> str:
        return f"projects/{self.project}/experiments/{self.experiment_id}"


@dataclass(frozen=True, slots=True)
class RunName:
    """`projects/{project}/runs/{run}`, the run being 32 hex digits."""

    project: str
    run_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _RUN_RE.match(text)
        if match is None:
            raise NameInvalid(
                f"{text!r} is not a run name: it should look like projects/my-project/runs/<32 hex digits>."
            )
        return cls(match["project"], match["id"])

    @property
    def parent(self) -> ProjectName:
        """The project."""
        return ProjectName(self.project)

    def __str__(self) -> str:
        return f"projects/{self.project}/runs/{self.run_id}"
