"""Resource names as people give them, brought into the form of the contract.

A project may be given as `digits` or `projects/digits`, a run as `projects/digits/runs/<32 hex>` or, with a project beside
it, as the 32 hex digits alone. A model is given as `projects/digits/models/reader` or, with a project beside it, as `reader`;
its version 3 with `/3` or `/versions/3` behind that, and the version that an alias points to with `@production`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from penstock.artifact_paths import ARTIFACT
from penstock.errors import InvalidInput

__all__ = [
    "ModelVersionRef",
    "Named",
    "artifact_name",
    "artifact_version_name",
    "file_owner_name",
    "model_name",
    "model_version_ref",
    "project_name",
    "project_of",
    "run_id_of",
    "run_name",
    "run_names",
    "several",
    "token_name",
]

_PROJECT = re.compile(r"(?:projects/)?([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)\Z")
_RUN = re.compile(r"projects/[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?/runs/[0-9a-f]{32}\Z")
_MODEL = re.compile(r"(?:(projects/[^/]+)/models/)?([^/:\x00-\x1f\x7f]{1,256})\Z")
_ARTIFACT_VERSION = re.compile(r"(.+?)(?:/versions/|/)([1-9][0-9]{0,8}|latest)\Z")
_VERSION = re.compile(r"(.+?)(?:/versions/|/)([1-9][0-9]{0,8})\Z")
_ALIAS = re.compile(r"(.+?)(?:/aliases/|@)([A-Za-z0-9_-]{1,255})\Z")
_LOGGED_MODEL = re.compile(r"projects/[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?/loggedModels/m-[0-9a-f]{32}\Z")
_LOGGED_MODEL_ID = re.compile(r"m-[0-9a-f]{32}\Z")
_ID = re.compile(r"[0-9a-f]{32}\Z")


def project_name(text: str) -> str:
    """`projects/{project}`. Raises `InvalidInput`."""
    match = _PROJECT.match(text)
    if match is None:
        raise InvalidInput(
            f"{text!r} is not a project: 1 to 63 of a-z, 0-9 and -, starting with a letter, not ending with -."
        )
    return f"projects/{match[1]}"


class Named(Protocol):
    """Something that knows its resource name, such as a `penstock.Run`."""

    @property
    def resource_name(self) -> str:
        """`projects/{project}/runs/{run}`."""
        ...


def run_name(run: "str | Named", project: str | None = None) -> str:
    """`projects/{project}/runs/{run}`, of a name, or of an open run. Raises `InvalidInput`."""
    text = run if isinstance(run, str) else run.resource_name
    if project is not None and _ID.match(text):
        return f"{project_name(project)}/runs/{text}"
    if _RUN.match(text) is None:
        raise InvalidInput(f"{text!r} is not a run: it should look like projects/my-project/runs/<32 hex digits>.")
    return text


def file_owner_name(owner: "str | Named", project: str | None = None) -> str:
    """The name of a run or of a logged model, which has files. Raises `InvalidInput`."""
    if isinstance(owner, str):
        if project is not None and _LOGGED_MODEL_ID.match(owner):
            return f"{project_name(project)}/loggedModels/{owner}"
        if _LOGGED_MODEL.match(owner):
            return owner
    return run_name(owner, project)


def run_names(runs: "str | Named | Iterable[str | Named]") -> list[str]:
    """The names of one or several runs. Raises `InvalidInput`, also when there is none or they are of several projects."""
    found = [run_name(run) for run in (runs if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs])]
    if len({project_of(name) for name in found}) != 1:
        raise InvalidInput("Name at least one run, and only runs of one project.")
    return found


def project_of(name: str) -> str:
    """The project that a resource belongs to, `projects/{project}`."""
    return "/".join(name.split("/")[:2])


def run_id_of(name: str) -> str:
    """The id of a run, the last segment of its name."""
    return name.rpartition("/")[2]


def several(texts: str | Iterable[str]) -> list[str]:
    """One text or several, as a list. One alone must not be taken apart into its letters."""
    return [texts] if isinstance(texts, str) else list(texts)


@dataclass(frozen=True)
class ModelVersionRef:
    """A version of a model: by its number, or by an alias, of which the other is None.

    Attributes:
        model: `projects/{project}/models/{model}`.
        number: The number.
        alias: The last segment of the alias.
    """

    model: str
    number: int | None
    alias: str | None

    @property
    def name(self) -> str:
        """The resource name: of the version, or of the alias."""
        return f"{self.model}/versions/{self.number}" if self.alias is None else f"{self.model}/aliases/{self.alias}"


def model_name(model: str, project: str = "default") -> str:
    """`projects/{project}/models/{model}`. Raises `InvalidInput`.

    Args:
        model: The model, in full or by its last segment.
        project: Of a model that is given by its last segment.
    """
    match = _MODEL.match(model)
    if match is None or match[2] in {".", ".."}:
        raise InvalidInput(
            f"{model!r} is not a model: it should look like digits or projects/my-project/models/digits, without / and :."
        )
    return f"{project_name(match[1] or project)}/models/{match[2]}"


def model_version_ref(version: str, project: str = "default") -> ModelVersionRef:
    """A version, given as `digits/3`, `digits@production`, or by the full name of version or alias. Raises `InvalidInput`."""
    if match := _VERSION.match(version):
        return ModelVersionRef(model_name(match[1], project), int(match[2]), None)
    if match := _ALIAS.match(version):
        return ModelVersionRef(model_name(match[1], project), None, match[2])
    raise InvalidInput(f"{version!r} is not a version of a model: it should look like digits/3 or digits@production.")


def artifact_name(artifact: str, project: str = "default") -> str:
    """`projects/{project}/artifacts/{artifact}`. Raises `InvalidInput`.

    Args:
        artifact: The artifact, in full or by its last segment.
        project: Of an artifact that is given by its last segment.
    """
    match = ARTIFACT.match(artifact)
    if match is None:
        raise InvalidInput(
            f"{artifact!r} is not an artifact: it should look like digits or projects/my-project/artifacts/digits, "
            "without / and :."
        )
    return f"{project_name(match[1] or project)}/artifacts/{match[2]}"


def artifact_version_name(version: str, project: str = "default") -> str:
    """`projects/{project}/artifacts/{artifact}/versions/{version}`. Raises `InvalidInput`.

    Args:
        version: The version: `digits/3`, `digits` or `digits/latest` for the newest one, or the full name.
        project: Of a version that is given by the last segments.
    """
    match = _ARTIFACT_VERSION.match(version)
    if match is None:
        return f"{artifact_name(version, project)}/versions/latest"
    return f"{artifact_name(match[1], project)}/versions/{match[2]}"


def token_name(text: str) -> str:
    """`tokens/{token}`. Raises `InvalidInput`."""
    token_id = text.removeprefix("tokens/")
    if _ID.match(token_id) is None:
        raise InvalidInput(f"{text!r} is not a token's name: it should look like tokens/<32 hex digits>.")
    return f"tokens/{token_id}"
