"""Owns what artifacts, versions and manifests are, and what a manifest may hold. Knows nothing of gRPC or storage."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Final, Self

from penstock.artifact_paths import path_problem
from penstock_artifact.errors import ManifestInvalid, ManifestTooLarge, PathInvalid, QuotaExceeded

__all__ = [
    "BLOB_BYTES_MAX",
    "DEFAULT_TYPE",
    "ENTRIES_MAX",
    "MANIFEST_BYTES_MAX",
    "VERSIONS_PER_ARTIFACT_MAX",
    "Artifact",
    "ArtifactVersion",
    "BlobId",
    "Entry",
    "File",
    "Link",
    "LinkKind",
    "Manifest",
    "Reference",
    "Retention",
    "Storage",
]

BLOB_BYTES_MAX: Final = 64 * 1024**3  # what S3 takes in 10,000 parts of 8 MiB, and some room
ENTRIES_MAX: Final = 20_000
MANIFEST_BYTES_MAX: Final = 4_000_000  # a document holds 8 MB
VERSIONS_PER_ARTIFACT_MAX: Final = 1_000_000
DEFAULT_TYPE: Final = "file"

_SHOWN_CHARS_MAX: Final = 200
_ABSENT: Final = "-"


class LinkKind(IntEnum):
    """What a run has to do with a version. The values are those of the contract."""

    WRITTEN = 1
    USED = 2


@dataclass(frozen=True, slots=True)
class BlobId:
    """Bytes by their digest, 64 hex digits, and size."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class File:
    """A file of a manifest. `media_type` is empty if unknown."""

    path: str
    blob: BlobId
    media_type: str = ""

    @property
    def line(self) -> str:
        """Its line of the manifest."""
        return f"file {self.blob.sha256} {self.blob.size} {self.media_type or _ABSENT} {self.path}\n"


@dataclass(frozen=True, slots=True)
class Reference:
    """Something outside that a manifest names. `digest` is empty, `size` None, if unknown."""

    path: str
    uri: str
    digest: str = ""
    size: int | None = None

    @property
    def line(self) -> str:
        """Its line of the manifest."""
        size = _ABSENT if self.size is None else str(self.size)
        return f"reference {self.digest or _ABSENT} {size} {self.uri} {self.path}\n"


Entry = File | Reference


@dataclass(frozen=True)
class Manifest:
    """What a version holds: entries in order of the bytes of their paths.

    Attributes:
        entries: The entries.
        text: What is digested and stored: one line per entry.
    """

    entries: tuple[Entry, ...]
    text: bytes = field(repr=False)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Makes a manifest of entries in any order.

        Raises:
            PathInvalid: A path is not allowed.
            ManifestInvalid: Two entries have one path, or one lies below another's file.
            ManifestTooLarge: There are too many entries, or too long ones.
        """
        listed = list(entries)
        if len(listed) > ENTRIES_MAX:
            raise ManifestTooLarge(
                f"The manifest has {len(listed):,} entries; {ENTRIES_MAX:,} is the most. Pack small files together."
            )
        for entry in listed:
            problem = path_problem(entry.path)
            if problem is not None:
                raise PathInvalid(f"The path {_shown(entry.path)} {problem}.", path=_cut(entry.path))
        # Text in UTF-8 sorts as its code points do.
        listed.sort(key=lambda entry: entry.path)
        _check_places(listed)
        text = "".join(entry.line for entry in listed).encode()
        if len(text) > MANIFEST_BYTES_MAX:
            raise ManifestTooLarge(
                f"The manifest takes {len(text):,} bytes; {MANIFEST_BYTES_MAX:,} is the most. Pack small files together."
            )
        return cls(tuple(listed), text)

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Reads what `text` of a manifest was."""
        return cls(tuple(_entry(line) for line in text.decode().split("\n")[:-1]), text)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `text`, 64 hex digits."""
        return hashlib.sha256(self.text).hexdigest()

    @cached_property
    def by_path(self) -> dict[str, Entry]:
        """The entries by path."""
        return {entry.path: entry for entry in self.entries}

    @property
    def files(self) -> list[File]:
        """The entries that are files."""
        return [entry for entry in self.entries if isinstance(entry, File)]

    @property
    def blobs(self) -> dict[str, BlobId]:
        """The blobs of its files, each once, by digest."""
        return {file.blob.sha256: file.blob for file in self.files}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A name with versions.

    Attributes:
        project: The project's id.
        artifact_id: Its name within the project.
        type: What its versions are.
        latest: The number of the newest version that there is, 0 for none.
        last: The highest number that a version ever had.
        creator: Who published the first version.
        create_us: When, in microseconds since 1970.
        update_us: When the set of its versions last changed.
    """

    project: str
    artifact_id: str
    type: str
    latest: int
    last: int
    creator: str
    create_us: int
    update_us: int


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """A version.

    Attributes:
        project: The project's id.
        artifact_id: The artifact's name.
        number: From 1.
        type: What it is.
        manifest: The digest of its manifest.
        file_count: How many files it has.
        reference_count: How many references it has.
        size: The bytes of all its files.
        description: Markdown.
        creator: Who published it.
        create_us: When, in microseconds since 1970.
    """

    project: str
    artifact_id: str
    number: int
    type: str
    manifest: str
    file_count: int
    reference_count: int
    size: int
    description: str
    creator: str
    create_us: int


@dataclass(frozen=True, slots=True)
class Link:
    """That a run wrote or used a version."""

    artifact_id: str
    number: int
    run_id: str
    kind: LinkKind
    create_us: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Which versions are kept: so many of the newest ones of each artifact, and those that are younger than so many days."""

    versions: int
    days: int


@dataclass(frozen=True, slots=True)
class Storage:
    """What the blobs of a project take, how much they may, and which versions are kept; None for no limit, and for all."""

    used: int = 0
    quota: int | None = None
    retention: Retention | None = None

    def check(self, needed: int) -> None:
        """Raises `QuotaExceeded` if so many bytes more are too many."""
        if self.quota is not None and needed > 0 and self.used + needed > self.quota:
            raise QuotaExceeded(
                f"The project stores {self.used:,} bytes and may store {self.quota:,}; {needed:,} more do not fit. "
                "Delete versions that are not needed, or ask an administrator for a larger quota.",
                used_bytes=str(self.used),
                quota_bytes=str(self.quota),
                needed_bytes=str(needed),
            )


def _check_places(entries: Sequence[Entry]) -> None:
    paths: set[str] = set()
    for entry in entries:
        if entry.path in paths:
            raise ManifestInvalid(f"The path {_shown(entry.path)} is there twice.", path=_cut(entry.path))
        paths.add(entry.path)
    for entry in entries:
        above = entry.path
        while "/" in above:
            above = above.rpartition("/")[0]
            if above in paths:
                raise ManifestInvalid(
                    f"The path {_shown(entry.path)} lies below {_shown(above)}, which is a file.", path=_cut(entry.path)
                )


def _entry(line: str) -> Entry:
    kind, digest, size, third, path = line.split(" ", 4)
    if kind == "file":
        return File(path, BlobId(digest, int(size)), "" if third == _ABSENT else third)
    return Reference(path, third, "" if digest == _ABSENT else digest, None if size == _ABSENT else int(size))


def _cut(path: str) -> str:
    # Lone surrogates cannot be sent as text.
    return path[:_SHOWN_CHARS_MAX].encode(errors="replace").decode()


def _shown(path: str) -> str:
    return repr(_cut(path) + ("…" if len(path) > _SHOWN_CHARS_MAX else ""))
