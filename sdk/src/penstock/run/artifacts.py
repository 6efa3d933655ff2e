"""Artifacts of a run, as the training process sees them: orders to a process beside it, which speaks with the server."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from penstock.config import Connection
from penstock.errors import InvalidInput
from penstock.run.sender_process import order_artifact

__all__ = ["ArtifactVersion", "RunArtifacts"]


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """A version of an artifact.

    Attributes:
        name: `projects/{project}/artifacts/{artifact}/versions/{version}`.
        version: Its number.
        type: What it is, such as `model` or `dataset`.
        manifest: The digest of its manifest, by which a registered model version names its files.
        file_count: How many files it has.
        size_bytes: The bytes of all its files.
        folder: Where its files are on this machine, if they were downloaded.
    """

    name: str
    version: int
    type: str
    manifest: str
    file_count: int
    size_bytes: int
    folder: Path | None = None


class RunArtifacts(ABC):
    """The part of a run that keeps files. They go straight to the server, in a process of their own, and are waited for."""

    _connection: Connection | None

    @property
    @abstractmethod
    def resource_name(self) -> str:
        """`projects/{project}/runs/{run}`, by which the client and the API know it."""

    def log_artifact(
        self,
        path: str | PathLike[str] | None = None,
        *,
        name: str,
        type: str = "",  # noqa: A002 - the word of the contract
        description: str = "",
        references: Mapping[str, str] | None = None,
    ) -> ArtifactVersion:
        """Publishes a file, or all files below a folder, as the next version of an artifact that this run wrote.

        Waits until the version is durable: once it returns, the files are kept, whatever happens to this run. Another process
        sends them, in constant memory. What the project has already is not sent again, and what the newest version has
        already makes no other one.

        Args:
            path: The file or folder.
            name: The artifact: 1 to 256 characters, any but `/`, `:` and control characters.
            type: What it is, such as `model` or `dataset`. The first version decides; empty means `file`.
            description: What is new in it, Markdown.
            references: URIs by the path that each shall have. Recorded, never opened.

        Raises:
            InvalidInput: There is nothing at `path`, it has names that an artifact may not have, or the run is not online.
            LimitExceeded: The project's quota is too small (reason QUOTA_EXCEEDED).
            Conflict: The artifact has another type (reason TYPE_DIFFERS).
            ServerUnavailable: The server cannot be reached.
        """
        return self._order(
            "log",
            name,
            path=None if path is None else str(Path(path).absolute()),
            type=type,
            description=description,
            references=dict(references or {}),
        )

    def log_artifacts(
        self,
        folder: str | PathLike[str],
        *,
        name: str,
        type: str = "",  # noqa: A002 - the word of the contract
        description: str = "",
    ) -> ArtifactVersion:
        """Publishes all files below a folder: `log_artifact` for those who know it by this name."""
        return self.log_artifact(folder, name=name, type=type, description=description)

    def use_artifact(self, name: str, *, folder: str | PathLike[str] | None = None) -> ArtifactVersion:
        """Records that this run uses a version of an artifact, and downloads its files if a folder is given.

        Args:
            name: The version: `reader/3`, or `reader` for the newest one.
            folder: Where its files go; made if it is missing.

        Raises:
            NotFound: There is no such version.
            InvalidInput: The run is not online.
            ServerUnavailable: The server cannot be reached.
        """
        return self._order("use", name, folder=None if folder is None else str(Path(folder).absolute()))

    def _order(self, do: str, artifact: str, **details: Any) -> ArtifactVersion:
        if self._connection is None:
            raise InvalidInput(
                "The run has no connection to a server, and artifacts go straight to it. Put them later, with "
                "`penstock artifact put`.",
                reason="NOT_ONLINE",
            )
        run = self.resource_name
        answer = order_artifact(
            self._connection, {"do": do, "run": run, "project": run.split("/")[1], "artifact": artifact, **details}
        )
        folder = details.get("folder")
        return ArtifactVersion(
            **{field: answer[field] for field in ("name", "version", "type", "manifest", "file_count", "size_bytes")},
            folder=None if folder is None else Path(folder),
        )
