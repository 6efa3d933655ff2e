"""Artifacts that a run of W&B logged, and where their bytes are.

A record names each file of an artifact with its digest and a path of the machine that wrote it. When a file is added, W&B
copies it to the user's staging folder; once it has been uploaded it is moved to a cache, by its digest. With
`policy="immutable"` it is left where it was.

A record is not believed: it may be from anybody. So nothing is read but what lies, with all links resolved, in W&B's staging
folder or its cache, in the run's `files/`, which are imported anyway, or in a folder that whoever imports has named; and its
bytes must have the size and the digest that the record says. References are taken over and never opened, `file://` neither.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from penstock.client.artifact_files import PIECE_BYTES
from penstock.importers.files import open_file
from penstock.importers.model import (
    FoundFile,
    SourceArtifact,
    SourceArtifactFile,
    SourceArtifactReference,
    SourceDamaged,
)
from penstock.importers.wandb.records import records_of

__all__ = ["ArtifactFolders", "artifacts_of"]

TYPE_CHARS_MAX: Final = 64
URI_CHARS_MAX: Final = 2_000
METADATA_CHARS_MAX: Final = 8_000
_NO_TYPE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_REFERENCE_DIGEST: Final = re.compile(r"[^\x00-\x20\x7f]{0,200}")
_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_XXH128: Final = "MANIFEST_XXH128"
_PATH_END: Final = re.compile(r"[^/\\]*\Z")


class ArtifactFolders:
    """Where files of artifacts may be read, and nowhere else.

    Args:
        more: Folders beside W&B's own.
    """

    def __init__(self, more: Sequence[Path]) -> None:
        data, cache = _wandb_folders()
        self._cache = cache / "artifacts"
        self._folders = [data / "artifacts" / "staging", *(folder.absolute() for folder in more)]

    def find(self, told: "_Told", run: Path) -> FoundFile:
        """Finds a file and reads it.

        Args:
            told: What a record says of it.
            run: The folder of its run's record.

        Raises:
            SourceDamaged: It is gone, or somewhere else, or has other bytes. Says so as the end of a sentence about it.
        """
        folders = [*self._folders, run / "files"]
        allowed = [_resolved(folder) or folder for folder in (*folders, self._cache)]
        problem = f"is gone: W&B had it at {told.place}" if told.place else "is not on this machine"
        for place in self._places(told, folders):
            found = _resolved(place)
            if found is None:
                continue
            if not any(found.is_relative_to(folder) for folder in allowed):
                problem = f"is at {told.place}, which is no folder of W&B: name one that it is in with --artifact-files"
                continue
            try:
                return _read(found, told)
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
            except SourceDamaged as damage:
                problem = damage.message
        raise SourceDamaged(problem)

    def _places(self, told: "_Told", folders: Sequence[Path]) -> Iterator[Path]:
        """Where it may be: as the record says; under its name, if it came here from another machine; in the cache."""
        if told.place:
            yield from (folder / told.place for folder in folders)  # an absolute path stays what it is
            name = _PATH_END.search(told.place)
            if name is not None and name[0] not in ("", ".", ".."):
                yield from (folder / name[0] for folder in folders)
        if told.md5:
            yield self._cache / "obj" / "md5" / told.md5[:2] / told.md5[2:]


class _Told(NamedTuple):
    """What a record says of a file.

    Attributes:
        place: Where it was on the machine that wrote the record; may be empty.
        size_bytes: Its bytes.
        md5: Its digest, 32 hex digits; empty if it is of another kind.
    """

    place: str
    size_bytes: int
    md5: str


def artifacts_of(files: Sequence[Path], folders: ArtifactFolders) -> Iterator[SourceArtifact]:
    """The versions of artifacts in the records of a run, in the order in which they were logged.

    Args:
        files: The records.
        folders: Where bytes may be read.

    Raises `SourceDamaged` behind the last that can be read.
    """
    seen: set[tuple[str, str]] = set()
    for file in files:
        for record in records_of(file):
            if record.HasField("artifact"):
                # Linking it to a registry of W&B's server logs it once more.
                key = record.artifact.name, record.artifact.digest
                if key not in seen or record.artifact.use_after_commit:
                    seen.add(key)
                    yield _artifact(record.artifact, file.parent, folders)


def _artifact(record: Any, run: Path, folders: ArtifactFolders) -> SourceArtifact:
    kind = _NO_TYPE.sub("-", record.type)[:TYPE_CHARS_MAX]
    if record.distributed_id:
        return SourceArtifact(record.name, kind, left_out="is one that several runs log together")
    if record.incremental:
        return SourceArtifact(record.name, kind, left_out="only adds files to a version on W&B's server")
    if record.manifest.manifest_file_path:
        return SourceArtifact(record.name, kind, left_out="has more than 100,000 files")
    entries = [_entry(entry, record, run, folders) for entry in record.manifest.contents]
    return SourceArtifact(record.name, kind, _description(record), entries, record.use_after_commit)


def _entry(
    entry: Any, record: Any, run: Path, folders: ArtifactFolders
) -> SourceArtifactFile | SourceArtifactReference:
    if not entry.ref:
        md5 = "" if record.digest_algorithm == _XXH128 else _hex(entry.digest)
        return SourceArtifactFile(entry.path, partial(folders.find, _Told(entry.local_path, entry.size, md5), run))
    uri = _BLANK.sub(lambda found: quote(found[0]), entry.ref)
    # Where W&B did not look at what is there, its digest is the URI.
    digest = entry.digest if entry.digest != entry.ref and _REFERENCE_DIGEST.fullmatch(entry.digest) else ""
    size = entry.size if entry.HasField("size") and entry.size >= 0 else None
    return SourceArtifactReference(entry.path, uri, digest, size)


def _description(record: Any) -> str:
    """What W&B says of a version, as Markdown: there are no fields for its aliases, tags and metadata."""
    parts = [record.description]
    if record.digest_algorithm == _XXH128:
        parts.append("W&B digested its files by XXH128: when they were imported only their sizes were compared.")
    for what, words in (("aliases", record.aliases), ("tags", record.tags)):
        own = sorted({word for word in words if word != "latest"})
        if own:
            parts.append(f"W&B's {what}: {', '.join(own)}")
    try:
        metadata = json.loads(record.metadata) if record.metadata else None
    except (ValueError, RecursionError):
        metadata = None
    if metadata:
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        short = len(text) <= METADATA_CHARS_MAX
        parts.append(f"```json\n{text}\n```" if short else "W&B's metadata were too long to be kept.")
    return "\n\n".join(part for part in parts if part)


def _read(place: Path, told: _Told) -> FoundFile:
    with open_file(place) as file:
        if os.fstat(file.fileno()).st_size != told.size_bytes:
            raise SourceDamaged("has another size than W&B logged")
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        size = 0
        while piece := file.read(PIECE_BYTES):
            size += len(piece)
            sha256.update(piece)
            if told.md5:
                md5.update(piece)
    if told.md5 and md5.hexdigest() != told.md5:
        raise SourceDamaged("has other bytes than W&B logged")
    return FoundFile(place, sha256.hexdigest(), size)


def _resolved(place: Path) -> Path | None:
    """A place with all links resolved; None if there is nothing."""
    try:
        return place.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links that lead to each other, before Python 3.13
        return None


def _hex(digest: str) -> str:
    """An MD5 as hexadecimal digits. What is none cannot be the digest of any file."""
    try:
        raw = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    return raw.hex() if len(raw) == hashlib.md5(usedforsecurity=False).digest_size else "no MD5"


def _wandb_folders() -> tuple[Path, Path]:
    """Where W&B keeps data and its cache, for this user on this system, unless the environment says otherwise."""
    home = Path.home()
    if sys.platform == "darwin":
        data, cache = home / "Library" / "Application Support" / "wandb", home / "Library" / "Caches" / "wandb"
    elif sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "wandb" / "wandb"
        cache = data / "Cache"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "wandb"
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "wandb"
    return Path(os.environ.get("WANDB_DATA_DIR") or data), Path(os.environ.get("WANDB_CACHE_DIR") or cache)
