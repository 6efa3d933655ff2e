"""Artifacts and alerts of a run, as the training process sees them.

With a server an artifact is ordered from a process beside this one and waited for. Without one, or if the caller does not
want to wait, it becomes an order in the spool, and the sender carries it out.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from penstock.artifact_paths import ARTIFACT
from penstock.config import Connection
from penstock.errors import InvalidInput, InvalidType
from penstock.local_files import LocalFile, collect
from penstock.run.sender_process import order_artifact
from penstock.spool.names import random_id
from penstock.spool.values import TEXT_CHARS_MAX, check_key, check_text
from penstock.spool.writer import SpoolWriter, checked_step

__all__ = ["ArtifactVersion", "RunArtifacts"]

ALERT_LEVELS: Final = ("info", "warn", "error")
DESCRIPTION_CHARS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """A version of an artifact.

    Attributes:
        name: `projects/{project}/artifacts/{artifact}/versions/{version}`; without a version while it waits to be sent.
        version: Its number; 0 while it waits to be sent.
        type: What it is, such as `model` or `dataset`.
        manifest: The digest of its manifest, by which a registered model version names its files; empty while it waits.
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

    @property
    def waiting(self) -> bool:
        """Whether it is kept on this machine and goes to the server later."""
        return self.version == 0


class RunArtifacts(ABC):
    """The part of a run that keeps files and tells people."""

    _connection: Connection | None
    _quiet_until_s: dict[str, float]
    """Of alerts that are left out, by their titles: until when."""

    @property
    @abstractmethod
    def resource_name(self) -> str:
        """`projects/{project}/runs/{run}`, by which the client and the API know it."""

    @property
    @abstractmethod
    def mode(self) -> str:
        """`online`, `offline` or `disabled`."""

    @abstractmethod
    def _spool_writer(self) -> SpoolWriter:
        """The writer of this process, made if need be. Raises `RunFinished`."""

    def log_artifact(
        self,
        path: str | PathLike[str] | None = None,
        *,
        name: str,
        type: str = "",  # noqa: A002 - the word of the contract
        description: str = "",
        references: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> ArtifactVersion:
        """Publishes a file, or all files below a folder, as the next version of an artifact that this run wrote.

        Online it waits until the version is durable: once it returns, the files are kept, whatever happens to this run.
        Another process sends them, in constant memory. What the project has already is not sent again, and what the newest
        version has already makes no other one.

        Offline, while no server is known, and with `wait=False`, the files are copied into the spool, and it returns
        when they are there whole: then they may be changed or deleted. The sender, or `penstock sync`, publishes them once,
        whatever is killed meanwhile. What it returns says `waiting`.

        Args:
            path: The file or folder.
            name: The artifact: 1 to 256 characters, any but `/`, `:` and control characters.
            type: What it is, such as `model` or `dataset`. The first version decides; empty means `file`.
            description: What is new in it, Markdown, at most 10,000 characters.
            references: URIs by the path that each shall have. Recorded, never opened.
            wait: Whether to wait for the server, if one is known.

        Raises:
            InvalidInput: There is nothing at `path`, or it has names that an artifact may not have.
            LimitExceeded: The project's quota is too small (reason QUOTA_EXCEEDED).
            Conflict: The artifact has another type (reason TYPE_DIFFERS).
            ServerUnavailable: The server cannot be reached.
            SpoolFull: The disk has no room for the copies.
            RunFinished: `finish` was called, and it would have to go through the spool.
        """
        if wait and self._connection is not None:
            return self._order(
                "log",
                name,
                path=None if path is None else str(Path(path).absolute()),
                type=type,
                description=description,
                references=dict(references or {}),
            )
        return self._keep(path, name, type, description, dict(references or {}))

    def alert(
        self,
        title: str,
        text: str = "",
        *,
        level: str = "info",
        step: int | None = None,
        wait_s: float = 0.0,
    ) -> None:
        """Tells people something: it is shown on the run's page and listed. Returns at once; the sender takes it along.

        Args:
            title: What it is about, 1 to 250 characters in one line.
            text: What happened, at most 8,000 characters.
            level: `info`, `warn` or `error`.
            step: The step of training that it is about, if it is about one.
            wait_s: An alert with the same title is left out for so many seconds.

        Raises:
            InvalidType, InvalidInput: An argument is none of these.
            RunFinished: `finish` was called.
            SpoolFull: The disk has no room.
        """
        checked = check_key(title, "title")
        if level not in ALERT_LEVELS:
            raise InvalidInput(f"level must be one of {', '.join(ALERT_LEVELS)}, not {level!r}.")
        content = {
            "alert_id": random_id(),
            "title": checked,
            "text": check_text(text, "text", TEXT_CHARS_MAX),
            "level": level,
            "step": None if step is None else checked_step(step),
            "time_us": time.time_ns() // 1000,
        }
        now_s = time.monotonic()
        if wait_s and now_s < self._quiet_until_s.get(checked, 0.0):
            return
        self._spool_writer().write_order("alert", content)
        self._quiet_until_s[checked] = now_s + wait_s

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

    def _keep(
        self, path: str | PathLike[str] | None, name: str, type_: str, description: str, references: dict[str, str]
    ) -> ArtifactVersion:
        """Copies the files into the spool, as an order to publish them."""
        match = ARTIFACT.match(name)
        if match is None:
            raise InvalidInput(
                f"{name!r} is not an artifact: 1 to 256 characters, none of them / or : or a control character."
            )
        full_name = f"{match[1] or '/'.join(self.resource_name.split('/')[:2])}/artifacts/{match[2]}"
        if path is None and not references:
            raise InvalidInput("Give a path or references: a version has at least one.")
        for what, value in (("type", type_), ("name", name)):
            if not isinstance(value, str):
                raise InvalidType(f"{what} must be a string, not {value!r}.")
        source = None if path is None else Path(path).absolute()
        files = [] if source is None else collect(source)
        content = {
            "name": full_name,
            "type": type_,
            "description": check_text(description, "description", DESCRIPTION_CHARS_MAX),
            "references": references,
            "file": source.name if source is not None and source.is_file() else "",
        }
        size = sum(file.file.stat().st_size for file in files)
        self._spool_writer().write_order("artifact", content, _copier(files) if files else None)
        return ArtifactVersion(full_name, 0, type_ or "file", "", len(files), size)

    def _order(self, do: str, artifact: str, **details: Any) -> ArtifactVersion:
        if self._connection is None:
            raise InvalidInput(
                "The run has no connection to a server, so it cannot be asked for an artifact. Get it before, with "
                "`penstock artifact get`.",
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


def _copier(files: list[LocalFile]) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        for file in files:
            place = target / file.path
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(file.file, place)

    return copy
