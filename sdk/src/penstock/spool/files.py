"""Small files of a spool: made private, replaced whole, so that a reader sees the old or the new one."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["make_private_folder", "read_json", "sync_folder", "write_private"]


def make_private_folder(path: Path) -> None:
    """Makes a folder that only its owner can enter, and those above it. No error if it is there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, content: Mapping[str, Any] | bytes, *, durable: bool = False) -> None:
    """Replaces a file in one step, mode 0600. A mapping is written as JSON.

    Args:
        path: The file. Its folder must exist.
        content: What it shall hold.
        durable: Whether it must survive a power failure once this returns.
    """
    data = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no file, or it is no such object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable. Nothing on Windows, which keeps them so by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
