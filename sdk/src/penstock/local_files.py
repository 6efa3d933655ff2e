"""Which files of this machine a path means that is logged as an artifact. Blocks."""

import os
from pathlib import Path
from typing import NamedTuple

from penstock.artifact_paths import path_problem
from penstock.errors import InvalidInput

__all__ = ["LocalFile", "collect"]


class LocalFile(NamedTuple):
    """A file of this machine, and the path that it has within the artifact."""

    path: str
    file: Path


def collect(path: Path) -> list[LocalFile]:
    """The files that a path means: the file itself under its name, or all below a folder. A link counts as what it leads to.

    Raises:
        InvalidInput: There is nothing; a folder has no file, or a link to a folder, or something that is no file (a pipe, a
            device); or a name is none that an artifact may have.
    """
    if path.is_file():
        found = [LocalFile(path.name, path)]
    elif path.is_dir():
        found = sorted(_below(path, ""))
    else:
        raise InvalidInput(f"There is no file and no folder {path}.")
    if not found:
        raise InvalidInput(f"The folder {path} has no file.")
    for name, file in found:
        problem = path_problem(name)
        if problem is not None:
            raise InvalidInput(f"The path of {file} {problem}.", reason="PATH_INVALID")
    return found


def _below(folder: Path, prefix: str) -> list[LocalFile]:
    found: list[LocalFile] = []
    with os.scandir(folder) as listed:
        entries = list(listed)
    for entry in entries:
        name, file = prefix + entry.name, Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            found += _below(file, name + "/")
        elif entry.is_file():
            found.append(LocalFile(name, file))
        else:
            what = "a link to a folder" if entry.is_dir() else "no file"
            raise InvalidInput(f"{file} is {what}: leave it out, or log it by itself.")
    return found
