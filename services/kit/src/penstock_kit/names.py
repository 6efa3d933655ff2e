"""Resource names, parsed once at the edge: inside the servers there is a `RunName`, never a string that gets split.

`run_id` is a segment, `run_name` a path: `projects/{project}/runs/{run}`.
"""

import re
from dataclasses import dataclass
from typing import Self

from penstock_kit.errors import InvalidInput

__all__ = [
    "ArtifactName",
    "ArtifactVersionName",
    "BlobUploadName",
    "ExperimentName",
    "LoggedModelName",
    "ModelAliasName",
    "ModelName",
    "ModelVersionName",
    "NameInvalid",
    "ProjectName",
    "RunName",
]

_PROJECT = r"projects/(?P<project>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_PROJECT_RE = re.compile(_PROJECT + r"\Z")
_EXPERIMENT_RE = re.compile(_PROJECT + r"/experiments/(?P<id>0|[1-9][0-9]{0,17})\Z")
_LOGGED_MODEL_RE = re.compile(_PROJECT + r"/loggedModels/(?P<id>m-[0-9a-f]{32})\Z")
_RUN_RE = re.compile(_PROJECT + r"/runs/(?P<id>[0-9a-f]{32})\Z")
_ARTIFACT = _PROJECT + r"/artifacts/(?P<artifact>(?!\.{1,2}(?:/|\Z))[^/:\x00-\x1f\x7f]{1,256})"
_ARTIFACT_RE = re.compile(_ARTIFACT + r"\Z")
_ARTIFACT_VERSION_RE = re.compile(_ARTIFACT + r"/versions/(?P<number>[1-9][0-9]{0,8}|latest)\Z")
_BLOB_UPLOAD_RE = re.compile(_PROJECT + r"/blobUploads/(?P<id>[0-9a-f]{32})\Z")
_MODEL = _PROJECT + r"/models/(?P<model>(?!\.{1,2}(?:/|\Z))[^/:\x00-\x1f\x7f]{1,256})"
_MODEL_RE = re.compile(_MODEL + r"\Z")
_VERSION_RE = re.compile(_MODEL + r"/versions/(?P<number>[1-9][0-9]{0,8})\Z")
_ALIAS_RE = re.compile(_MODEL + r"/aliases/(?P<alias>[A-Za-z0-9_-]{1,255})\Z")


class NameInvalid(InvalidInput):
    """A resource name is malformed."""

    reason = "NAME_INVALID"


def _matched(pattern: re.Pattern[str], text: str, what: str, example: str) -> re.Match[str]:
    match = pattern.match(text)
    if match is None:
        raise NameInvalid(f"{text!r} is not {what}: it should look like {example}.")
    return match


@dataclass(frozen=True, slots=True)
class ProjectName:
    """`projects/{project}`."""

    project: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(_PROJECT_RE, text, "a project name", "projects/my-project")
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
        match = _matched(_EXPERIMENT_RE, text, "an experiment name", "projects/my-project/experiments/7")
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
        match = _matched(_RUN_RE, text, "a run name", "projects/my-project/runs/<32 hex digits>")
        return cls(match["project"], match["id"])

    @property
    def parent(self) -> ProjectName:
        """The project."""
        return ProjectName(self.project)

    def __str__(self) -> str:
        return f"projects/{self.project}/runs/{self.run_id}"


@dataclass(frozen=True, slots=True)
class LoggedModelName:
    """`projects/{project}/loggedModels/{model}`, the model being `m-` and 32 hex digits."""

    project: str
    model_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(
            _LOGGED_MODEL_RE, text, "the name of a logged model", "projects/my-project/loggedModels/m-<32 hex digits>"
        )
        return cls(match["project"], match["id"])

    @property
    def parent(self) -> ProjectName:
        """The project."""
        return ProjectName(self.project)

    def __str__(self) -> str:
        return f"projects/{self.project}/loggedModels/{self.model_id}"


@dataclass(frozen=True, slots=True)
class ModelName:
    """`projects/{project}/models/{model}`."""

    project: str
    model_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(_MODEL_RE, text, "a model name", "projects/my-project/models/digits")
        return cls(match["project"], match["model"])

    def __str__(self) -> str:
        return f"projects/{self.project}/models/{self.model_id}"


@dataclass(frozen=True, slots=True)
class ModelVersionName:
    """`projects/{project}/models/{model}/versions/{version}`."""

    model: ModelName
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(_VERSION_RE, text, "a version of a model", "projects/my-project/models/digits/versions/3")
        return cls(ModelName(match["project"], match["model"]), int(match["number"]))

    def __str__(self) -> str:
        return f"{self.model}/versions/{self.number}"


@dataclass(frozen=True, slots=True)
class ModelAliasName:
    """`projects/{project}/models/{model}/aliases/{alias}`."""

    model: ModelName
    alias: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(_ALIAS_RE, text, "an alias of a model", "projects/my-project/models/digits/aliases/best")
        return cls(ModelName(match["project"], match["model"]), match["alias"])

    def __str__(self) -> str:
        return f"{self.model}/aliases/{self.alias}"


@dataclass(frozen=True, slots=True)
class ArtifactName:
    """`projects/{project}/artifacts/{artifact}`."""

    project: str
    artifact_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(_ARTIFACT_RE, text, "an artifact name", "projects/my-project/artifacts/digits")
        return cls(match["project"], match["artifact"])

    def __str__(self) -> str:
        return f"projects/{self.project}/artifacts/{self.artifact_id}"


@dataclass(frozen=True, slots=True)
class ArtifactVersionName:
    """`projects/{project}/artifacts/{artifact}/versions/{version}`; `number` is None for `latest`, the newest one."""

    artifact: ArtifactName
    number: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(
            _ARTIFACT_VERSION_RE, text, "a version of an artifact", "projects/my-project/artifacts/digits/versions/3"
        )
        number = None if match["number"] == "latest" else int(match["number"])
        return cls(ArtifactName(match["project"], match["artifact"]), number)

    def __str__(self) -> str:
        return f"{self.artifact}/versions/{self.number or 'latest'}"


@dataclass(frozen=True, slots=True)
class BlobUploadName:
    """`projects/{project}/blobUploads/{upload}`, 32 hex digits."""

    project: str
    upload_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name. Raises `NameInvalid`."""
        match = _matched(
            _BLOB_UPLOAD_RE, text, "an upload of a blob", f"projects/my-project/blobUploads/{'0123456789abcdef' * 2}"
        )
        return cls(match["project"], match["id"])

    def __str__(self) -> str:
        return f"projects/{self.project}/blobUploads/{self.upload_id}"
