"""Files that appear under their names only when they are whole and on the disk."""

import os
import secrets
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from penstock.errors import InvalidInput
from penstock.spool.files import sync_folder

__all__ = ["Target", "check_file", "replacing", "target_of", "writing"]

Target = Path | IO[bytes]
"""Where points go: a path, or an open binary file, which is left open."""


def target_of(file: str | os.PathLike[str] | IO[bytes]) -> Target:
    """A path, or the open file that was given."""
    return Path(file) if isinstance(file, str | os.PathLike) else file


def check_file(target: Target, *, replace: bool) -> None:
    """Raises `InvalidInput` unless a file may be written there."""
    if not isinstance(target, Path):
        return
    if target.exists() and not replace:
        raise InvalidInput(f"{target} exists. Replace it with --force, or replace=True.")
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"The folder {target.absolute().parent} does not exist.")


def writing(target: Target) -> AbstractContextManager[IO[bytes]]:
    """The file to write to. One of a path takes its place at the end of the block, as `replacing` says."""
    return replacing(target) if isinstance(target, Path) else nullcontext(target)


@contextmanager
def replacing(path: Path) -> Generator[IO[bytes], None, None]:
    """A file to write that takes the place of `path` at the end of the block, and is removed if the block fails."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
