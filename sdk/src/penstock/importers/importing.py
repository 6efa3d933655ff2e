"""Imports all runs of a source, one after the other. What one run meets does not keep the others."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from penstock.client._async.channel import AsyncChannel
from penstock.config import Connection
from penstock.errors import (
    AuthenticationFailed,
    Conflict,
    LimitExceeded,
    PenstockError,
    PermissionDenied,
    ServerUnavailable,
)
from penstock.importers.batches import PartReader
from penstock.importers.model import Source, SourceDamaged, SourceEntry, SourceRun
from penstock.importers.upload import Uploaded, upload
from penstock.sender.outcome import is_final

__all__ = ["ImportedRun", "Watcher", "import_runs", "look_through"]

UNREACHABLE_S: Final = 30.0
"""How long a run is tried again while nothing of it becomes durable."""
CALL_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.2
_PAUSE_S_MAX: Final = 5.0
_FENCED_PAUSE_S: Final = 3.0
"""The pause when somebody else has taken over the stream of a part: they shall get on with it."""
_PASSING_CONFLICTS: Final = frozenset({"DIGEST_CONFLICT", "WRITER_FENCED"})
"""Somebody else imports the same run: what they send is not sent again once this looks anew."""
_DENIALS_MAX: Final = 4
"""A project that was just made may not be known everywhere yet."""
_PASSING_LIMITS: Final = frozenset({"OVERLOADED", "STORAGE_FULL"})


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """What became of one run of the source.

    Attributes:
        label: How people know it in the source.
        outcome: `imported` (it was not there), `continued` (something was added), `unchanged`, `failed`; `found` when
            nothing was to be imported.
        run: `projects/{project}/runs/{run}`; empty if it could not be read.
        display_name: Its name for people.
        experiment: The name of its experiment.
        state: How it ended, in the words of the contract.
        points: Points of it that are durable; those in the source when nothing was to be imported.
        points_added: Those among them that were not when the import began.
        files: Files of it that are there; those in the source when nothing was to be imported.
        files_added: Those among them that were sent.
        artifacts: Versions of artifacts that it wrote and that are there; those in the source when nothing was to be
            imported.
        artifacts_added: Those among them that were published.
        params: How many params it has.
        tags: How many tags.
        notices: What was left out and the like.
        message: Why it failed.
        reason: The same for programs.
    """

    label: str
    outcome: str
    run: str = ""
    display_name: str = ""
    experiment: str = ""
    state: str = ""
    points: int = 0
    points_added: int = 0
    files: int = 0
    files_added: int = 0
    artifacts: int = 0
    artifacts_added: int = 0
    params: int = 0
    tags: int = 0
    notices: Sequence[str] = field(default_factory=tuple)
    message: str = ""
    reason: str = ""


class Watcher(Protocol):
    """Hears how it goes, for a person who waits."""

    def began(self, total: int) -> None:
        """So many runs are there."""
        ...

    def reading(self, label: str) -> None:
        """A run's turn has come."""
        ...

    def added(self, points: int) -> None:
        """So many more points are durable."""
        ...

    def sent(self, size: int) -> None:
        """So many more bytes of files were sent."""
        ...

    def done(self, run: ImportedRun) -> None:
        """A run is through."""
        ...


def look_through(source: Source, project: str, experiment: str, watcher: Watcher) -> Iterator[ImportedRun]:
    """Reads all of a source and says what would be imported. Asks no server. Raises as `Source.entries` does."""
    entries = source.entries()
    watcher.began(len(entries))
    for entry in entries:
        watcher.reading(entry.label)
        try:
            run = _placed(_read(entry), experiment)
            found = _described(entry.label, "found", project, run, _counted(run))
            found = replace(
                found,
                files=sum(not file.left_out for file in run.files()),
                artifacts=sum(not artifact.left_out for artifact in run.artifacts()),
            )
        except SourceDamaged as error:
            found = ImportedRun(entry.label, "failed", message=error.message, reason=error.reason)
        watcher.done(found)
        yield found


async def import_runs(
    connection: Connection, source: Source, project: str, experiment: str, watcher: Watcher
) -> list[ImportedRun]:
    """Imports the runs of a source.

    Args:
        connection: The server.
        source: Where they are.
        project: The id of the project.
        experiment: The experiment for all of them; empty means those of the source.
        watcher: Told of each run.

    Returns:
        What became of each, in the order of the source.

    Raises:
        NotFound: The source holds no run.
        SourceDamaged: It cannot be read at all.
        ServerUnavailable: The server cannot be reached any more. What is durable stays so.
        AuthenticationFailed: The token does not work.
        PermissionDenied: The token does not allow it.
    """
    entries = source.entries()
    watcher.began(len(entries))
    results: list[ImportedRun] = []
    channel = AsyncChannel(connection, CALL_TIMEOUT_S)
    try:
        for entry in entries:
            watcher.reading(entry.label)
            try:
                run = _placed(await asyncio.to_thread(_read, entry), experiment)
                result = await _imported(channel, source, project, entry.label, run, watcher)
            except (ServerUnavailable, AuthenticationFailed, PermissionDenied):
                # The next run would meet the same.
                raise
            except PenstockError as error:
                result = ImportedRun(entry.label, "failed", message=error.message, reason=error.reason)
            watcher.done(result)
            results.append(result)
    finally:
        await channel.close()
    return results


async def _imported(
    channel: AsyncChannel, source: Source, project: str, label: str, run: SourceRun, watcher: Watcher
) -> ImportedRun:
    """Brings one run to the server, however often the connection breaks."""
    result = Uploaded(f"projects/{project}/runs/{run.run_id}", notices=list(run.left_out))
    told = denials = 0
    pause_s = _PAUSE_S
    moved_s = time.monotonic()

    def moved() -> None:
        nonlocal moved_s, pause_s
        moved_s = time.monotonic()
        pause_s = _PAUSE_S

    def tell(points: int) -> None:
        nonlocal told
        if points > told:
            watcher.added(points - told)
            told = points
            moved()

    def tell_bytes(size: int) -> None:
        watcher.sent(size)
        moved()

    while True:
        try:
            await upload(channel, source, project, run, result, tell, tell_bytes)
            return _result(label, project, run, result)
        except PenstockError as error:
            denials += isinstance(error, PermissionDenied)
            passes = denials < _DENIALS_MAX if isinstance(error, PermissionDenied) else _passes(error)
            if not passes or time.monotonic() - moved_s > UNREACHABLE_S:
                raise
            if error.reason == "WRITER_FENCED":
                pause_s = max(pause_s, _FENCED_PAUSE_S)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, keeps no secret
        pause_s = min(pause_s * 2, _PAUSE_S_MAX)


def _result(label: str, project: str, run: SourceRun, uploaded: Uploaded) -> ImportedRun:
    grew = uploaded.points_added or uploaded.files_added or uploaded.artifacts_added or uploaded.changed
    outcome = "continued" if grew else "unchanged"
    described = _described(label, "imported" if uploaded.created else outcome, project, run, uploaded.points)
    described = replace(
        described,
        points_added=uploaded.points_added,
        files=uploaded.files,
        files_added=uploaded.files_added,
        artifacts=uploaded.artifacts,
        artifacts_added=uploaded.artifacts_added,
        notices=tuple(uploaded.notices),
    )
    if uploaded.damage is not None:
        return replace(described, outcome="failed", message=uploaded.damage.message, reason=uploaded.damage.reason)
    return described


def _described(label: str, outcome: str, project: str, run: SourceRun, points: int) -> ImportedRun:
    return ImportedRun(
        label,
        outcome,
        f"projects/{project}/runs/{run.run_id}",
        run.display_name,
        run.experiment,
        run.state,
        points,
        params=len(run.params),
        tags=len(run.tags),
        notices=tuple(run.left_out),
    )


def _read(entry: SourceEntry) -> SourceRun:
    try:
        return entry.read()
    except PenstockError:
        raise
    except Exception as error:
        raise SourceDamaged.because(error, entry.label) from error


def _counted(run: SourceRun) -> int:
    """The points of a run that would be imported. Raises `SourceDamaged`."""
    total = 0
    for part in run.parts:
        reader = PartReader(part)
        total += sum(len(row.values) for row in reader.rows())
        if reader.damage is not None:
            raise reader.damage
    return total


def _placed(run: SourceRun, experiment: str) -> SourceRun:
    return replace(run, experiment=experiment) if experiment else run


def _passes(error: PenstockError) -> bool:
    """Whether trying again can help."""
    if isinstance(error, SourceDamaged):
        return False
    if isinstance(error, LimitExceeded):
        return error.reason in _PASSING_LIMITS
    if isinstance(error, Conflict) and error.reason in _PASSING_CONFLICTS:
        return True
    return not is_final(error)
