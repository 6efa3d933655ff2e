"""What a source is made of: runs, their parts, the rows of a part; and what of it fits into the limits of the contract."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self

from penstock.errors import InvalidInput, PenstockError
from penstock.spool.values import TEXT_CHARS_MAX, TypedValue, check_key, check_text, typed_value

__all__ = [
    "NAME_CHARS_MAX",
    "NOTES_CHARS_MAX",
    "FoundFile",
    "Part",
    "Readable",
    "Row",
    "RunDraft",
    "Source",
    "SourceArtifact",
    "SourceArtifactFile",
    "SourceArtifactReference",
    "SourceDamaged",
    "SourceEntry",
    "SourceFile",
    "SourceMedia",
    "SourceRun",
    "derived_id",
    "time_us",
]

NAME_CHARS_MAX: Final = 500
GROUP_CHARS_MAX: Final = 250
NOTES_CHARS_MAX: Final = 100_000
PARAMS_MAX: Final = 5_000
TAGS_MAX: Final = 1_000
SUMMARY_MAX: Final = 1_000
MOMENT_US_MAX: Final = 253_402_300_799_999_999
"""The end of the year 9999: the latest that a timestamp of the contract holds."""
LEFT_OUT_MAX: Final = 100
"""Notes on what was left out, of one run."""


class SourceDamaged(PenstockError):
    """A run, or the whole source, cannot be read. What was read before it is imported."""

    default_reason = "SOURCE_DAMAGED"

    @classmethod
    def because(cls, error: Exception, where: str) -> Self:
        """What to raise instead of an error that a file, or something in it, caused."""
        if isinstance(error, OSError):
            message = f"{error.filename or where} cannot be read: {error.strerror or error}."
            return cls(message, reason="SOURCE_UNREADABLE")
        # Checksums do not keep a writer from writing nonsense.
        return cls(f"{where} holds what makes no sense: {type(error).__name__}: {str(error)[:200]}")


class Row(NamedTuple):
    """Points that share their step and time.

    Attributes:
        step: Within int64.
        time_us: Microseconds since 1970 UTC.
        values: By key. Not empty.
    """

    step: int
    time_us: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that only ever become more: a sequence that grows at its end, or the points of one metric.

    Attributes:
        id: What tells it from the other parts of its run, such as the name of a file or of a metric.
        rows: Reads the rows from the beginning. Raises `SourceDamaged` behind the last row that can be read.
        metric: The metric, if all points are of one and new ones may come anywhere among them: then those that are durable
            are recognised by their content. None if new rows come at the end, and all before them as ever.
    """

    id: str
    rows: Callable[[], Iterator[Row]]
    metric: str | None = None


class SourceMedia(NamedTuple):
    """What makes a file media that the run logged.

    Attributes:
        key: Under which it logged it.
        kind: `IMAGE` or `AUDIO`.
        step: Within int64.
        time_us: Microseconds since 1970 UTC.
    """

    key: str
    kind: str
    step: int
    time_us: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a run.

    Attributes:
        path: Where it belongs below the run, its segments separated by `/`.
        open: Opens it to be read from the beginning. Raises `SourceDamaged`, `OSError`.
        size_bytes: Its bytes; None if that is not known before it is read.
        size_tells: Whether a file of the same size is taken for the same, because reading it only to compare costs too much.
        left_out: Why it is not imported, as the end of a sentence about it; empty if it is.
        media: What it was logged as; None if it is just a file.
    """

    path: str
    open: Callable[[], "Readable"]
    size_bytes: int | None = None
    size_tells: bool = False
    left_out: str = ""
    media: SourceMedia | None = None


class Readable(Protocol):
    """What is read from: a file or the answer of a server."""

    def read(self, size: int, /) -> bytes:
        """At most so many of the next bytes; none at the end."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class FoundFile(NamedTuple):
    """A file of an artifact, as it was read.

    Attributes:
        place: Where it is on this machine.
        sha256: The digest of its bytes, 64 hex digits.
        size_bytes: How many there are.
    """

    place: Path
    sha256: str
    size_bytes: int


class SourceArtifactFile(NamedTuple):
    """A file of an artifact.

    Attributes:
        path: Where it belongs within the artifact, its segments separated by `/`.
        find: Finds it on this machine and reads it. Raises `SourceDamaged` if it is not what the source says, or nowhere that
            may be read.
    """

    path: str
    find: Callable[[], FoundFile]


class SourceArtifactReference(NamedTuple):
    """Something outside that an artifact names. It is never opened.

    Attributes:
        path: Where it belongs within the artifact.
        uri: Where it is, without blanks and control characters.
        digest: What the source knows of its content; may be empty.
        size_bytes: Its bytes, if the source knows them.
    """

    path: str
    uri: str
    digest: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class SourceArtifact:
    """A version of an artifact that a run wrote.

    Attributes:
        name: The artifact's name.
        type: What it is, as the contract takes it.
        description: Markdown.
        entries: What is in it.
        used: Whether the run has used it as well.
        left_out: Why it is not imported, as the end of a sentence about it; empty if it is.
    """

    name: str
    type: str
    description: str = ""
    entries: Sequence[SourceArtifactFile | SourceArtifactReference] = ()
    used: bool = False
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class SourceRun:
    """A run as the source has it, within the limits of the contract.

    Attributes:
        run_id: 32 hex digits: the same whenever, wherever and by whomever the run is imported.
        experiment: The display name of its experiment.
        display_name: Its name for people; empty if it has none.
        state: `RUNNING`, `FINISHED`, `FAILED`, `KILLED` or `CRASHED`.
        start_time_us: Microseconds since 1970 UTC.
        end_time_us: The same; None while it runs.
        notes: Markdown.
        group: Binds runs that belong together.
        failure: Why it failed, as far as the source knows.
        params: By key.
        tags: By key.
        summary: By key.
        parts: Its points.
        files: Lists its files, each path once. Raises `SourceDamaged` behind the last that can be found.
        artifacts: Lists the versions of artifacts that it wrote, in that order. Raises likewise.
        left_out: What of it has no place here, in sentences for people.
    """

    run_id: str
    experiment: str
    display_name: str
    state: str
    start_time_us: int
    end_time_us: int | None
    notes: str
    group: str
    failure: str
    params: Mapping[str, TypedValue]
    tags: Mapping[str, str]
    summary: Mapping[str, TypedValue]
    parts: Sequence[Part]
    files: Callable[[], Iterator[SourceFile]]
    artifacts: Callable[[], Iterator[SourceArtifact]]
    left_out: Sequence[str]


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A run that a source lists.

    Attributes:
        label: How people know it there.
        read: Reads it. Raises `SourceDamaged`.
    """

    label: str
    read: Callable[[], SourceRun]


class Source(Protocol):
    """Where runs are imported from."""

    tool: str
    """The tool's name, as the tag `penstock.import.tool` gives it."""
    location: str
    """Where it is, without any secret, as the tag `penstock.import.source` gives it."""

    def entries(self) -> Sequence[SourceEntry]:
        """The runs that are there, in a steady order.

        Raises:
            NotFound: There is no such place, or it holds no run.
            SourceDamaged: It cannot be read at all.
        """
        ...


@dataclass(slots=True)
class RunDraft:
    """Gathers a run while a source reads it, and cuts it to the limits of the contract."""

    experiment: str
    start_time_us: int
    state: str = "FINISHED"
    end_time_us: int | None = None
    display_name: str = ""
    notes: str = ""
    group: str = ""
    failure: str = ""
    params: dict[str, TypedValue] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    summary: dict[str, TypedValue] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)

    def leave_out(self, what: str) -> None:
        """Takes note of something that is not imported, once."""
        if len(self.left_out) < LEFT_OUT_MAX:
            self.left_out.setdefault(what)

    def add_param(self, key: str, value: Any) -> None:
        """A param. A value that is too long, or one more than a run takes, is left out."""
        self._add(self.params, PARAMS_MAX, "param", key, lambda: typed_value(value, "It"))

    def add_summary(self, key: str, value: Any) -> None:
        """A summary entry, likewise."""
        self._add(self.summary, SUMMARY_MAX, "summary entry", key, lambda: typed_value(value, "It"))

    def add_tag(self, key: str, value: str) -> None:
        """A tag, likewise."""
        self._add(self.tags, TAGS_MAX, "tag", key, lambda: check_text(value, "It", TEXT_CHARS_MAX))

    def finished(
        self,
        run_id: str,
        parts: Sequence[Part],
        files: Callable[[], Iterator[SourceFile]] = lambda: iter(()),
        artifacts: Callable[[], Iterator[SourceArtifact]] = lambda: iter(()),
    ) -> SourceRun:
        """The run."""
        return SourceRun(
            run_id=run_id,
            experiment=_cut(self.experiment, NAME_CHARS_MAX),
            display_name=_cut(self.display_name, NAME_CHARS_MAX),
            state=self.state,
            start_time_us=_within_calendar(self.start_time_us),
            end_time_us=None if self.end_time_us is None else _within_calendar(self.end_time_us),
            notes=_cut(self.notes, NOTES_CHARS_MAX),
            group=_cut(self.group, GROUP_CHARS_MAX),
            failure=_cut(self.failure, TEXT_CHARS_MAX),
            params=self.params,
            tags=self.tags,
            summary=self.summary,
            parts=parts,
            files=files,
            artifacts=artifacts,
            left_out=list(self.left_out),
        )

    def _add(self, into: dict[str, Any], most: int, kind: str, key: str, value: Callable[[], Any]) -> None:
        if key not in into and len(into) >= most:
            self.leave_out(f"More than {most:,} {kind}s: the rest was left out.")
            return
        try:
            into[check_key(key, "Its name")] = value()
        except InvalidInput as error:
            self.leave_out(f"The {kind} {key[:60]!r} was left out. {error.message}")


def derived_id(*identity: str) -> str:
    """32 hex digits that stand for an identity: the same for the same, and for nothing else.

    Never to be changed: what was imported before is recognised by it.
    """
    joined = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in ("penstock import", *identity))
    return hashlib.sha256(joined).hexdigest()[:32]


def time_us(seconds: float) -> int:
    """Seconds since 1970 as whole microseconds; 0 for what is no time."""
    return round(seconds * 1_000_000) if math.isfinite(seconds) else 0


def _within_calendar(moment_us: int) -> int:
    return min(max(0, moment_us), MOMENT_US_MAX)


def _cut(text: str, chars_max: int) -> str:
    return text.encode(errors="replace").decode()[:chars_max]
