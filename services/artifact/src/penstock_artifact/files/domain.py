"""Owns what a file of a run or a logged model is, and which paths go together. Knows nothing of gRPC or storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from penstock.artifact_paths import path_problem
from penstock_artifact.domain import File
from penstock_artifact.errors import PathInvalid, PathTaken
from penstock_artifact.files.media import Media
from penstock_kit.names import LoggedModelName, RunName

__all__ = ["FileUpload", "NewFile", "OwnedFile", "Owner", "above", "check_directory", "check_paths", "lies_below"]

Owner = RunName | LoggedModelName
"""What has files."""


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A file as it is at its path.

    Attributes:
        file: Path, blob and media type.
        creator: Who put it there.
        update_us: When, in microseconds since 1970.
        media: Under which key and at which step a run logged it; None if it is no media.
    """

    file: File
    creator: str
    update_us: int
    media: Media | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that shall be put, and what it says of itself if it is media."""

    file: File
    media: Media | None = None


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file about to come. `media_type` is empty, `size` None, if unknown."""

    path: str
    media_type: str = ""
    size: int | None = None


def above(path: str) -> list[str]:
    """The directories that a path lies in, without the uppermost one: for `a/b/c` these are `a/b` and `a`."""
    return [str(parent) for parent in PurePosixPath(path).parents][:-1]


def check_paths(paths: Sequence[str]) -> None:
    """Raises `PathInvalid` for a path that is not allowed, `PathTaken` for two that contradict each other."""
    for path in paths:
        if problem := path_problem(path):
            raise PathInvalid(f"The path {path!r} {problem}.", path=path)
    there: set[str] = set()
    for path in paths:
        if path in there:
            raise PathTaken(f"The path {path!r} is there twice.", path=path)
        there.add(path)
    for path in paths:
        if found := there.intersection(above(path)):
            raise lies_below(path, found.pop())


def check_directory(directory: str) -> None:
    """Raises `PathInvalid` unless it is empty or a path."""
    if directory:
        check_paths([directory])


def lies_below(path: str, file: str) -> PathTaken:
    """A path lies below a file."""
    return PathTaken(f"The path {path!r} lies below {file!r}, which is a file.", path=path)
