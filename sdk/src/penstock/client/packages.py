"""A version of a model as one file, to move it between installations. Owns the format, and what is wrong with such a file.

The file is a ZIP archive whose members are stored as they are, without compression:

    model-version.json   what the registry knows of the version (JSON of `ModelVersion` and `ModelBaseline`), the manifest of
                         its files with the digest of each, the digest of that manifest, and where it all comes from
    files/<path>         each file under its path

Whoever reads it trusts nothing: only members that `model-version.json` names are read, none is unpacked under a name that
leads elsewhere, and as nothing is compressed no file takes more of the disk than the archive does. Everything here blocks.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from penstock.api.artifact.v1 import artifact_pb2
from penstock.api.registry.v1 import model_pb2
from penstock.artifact_paths import path_problem
from penstock.client.artifact_files import read_piece
from penstock.client.export.files import replacing
from penstock.errors import InvalidInput

__all__ = ["DOCUMENT_BYTES_MAX", "ENTRIES_MAX", "Package", "PackageArtifact", "folder_beside", "pack", "read", "unpack"]

DOCUMENT: Final = "model-version.json"
FOLDER: Final = "files/"
FORMAT: Final = "penstock-model-version"
FORMAT_VERSION: Final = 1
DOCUMENT_BYTES_MAX: Final = 64_000_000
"""Of `model-version.json`: ten times what the largest version that a registry takes needs."""
ENTRIES_MAX: Final = 20_000
"""Files and references, as many as a manifest may have."""

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # the time of members: an equal version makes an equal file
_FILE_MODE: Final = 0o644 << 16
_ENCRYPTED: Final = 0x1
# What belongs to the installation that a version comes from: it gets another one where it goes.
_LEFT: Final = (
    *("name", "number", "run", "logged_model", "artifact_version", "aliases", "stage", "state", "creator"),
    *("create_time", "update_time", "etag"),
)


@dataclass(frozen=True)
class PackageArtifact:
    """The files of a version.

    Attributes:
        name: What the artifact is called, its last segment.
        type: What it is.
        description: Of its version.
        manifest: The digest of its manifest.
        entries: Files and references by path.
    """

    name: str
    type: str
    description: str
    manifest: str
    entries: tuple[artifact_pb2.ManifestEntry, ...]


@dataclass(frozen=True)
class Package:
    """What a file holds beside the files of the version.

    Attributes:
        model: What the model is called, its last segment.
        version: The version, without what belongs to the installation that it comes from.
        baseline: How its training data looked, None if that is not known.
        artifact: Its files, None if they are elsewhere.
        origin: The full name of the version there, where that is, and when it was exported.
    """

    model: str
    version: model_pb2.ModelVersion
    baseline: model_pb2.ModelBaseline | None
    artifact: PackageArtifact | None
    origin: Mapping[str, str]

    @classmethod
    def of(
        cls,
        version: model_pb2.ModelVersion,
        baseline: model_pb2.ModelBaseline | None,
        artifact: PackageArtifact | None,
        server: str,
    ) -> "Package":
        """What a file of a version shall hold. `server` is the HTTP address of its installation."""
        kept = model_pb2.ModelVersion()
        kept.CopyFrom(version)
        if version.run and not version.run_link:
            kept.run_link = f"{server}/{version.run}"
        for name in _LEFT:
            kept.ClearField(name)
        origin = {"version": version.name, "server": server, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        return cls(version.name.split("/")[3], kept, baseline, artifact, origin)

    @property
    def digest(self) -> str:
        """Tells what is in it, wherever it comes from: SHA-256 as 64 hex digits."""
        content = {name: part for name, part in self._document().items() if name != "origin"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _document(self) -> dict[str, Any]:
        artifact = self.artifact
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "origin": dict(self.origin),
            "model": self.model,
            "version": _json(self.version),
            "baseline": None if self.baseline is None else _json(self.baseline),
            "artifact": None
            if artifact is None
            else {
                "name": artifact.name,
                "type": artifact.type,
                "description": artifact.description,
                "manifest": artifact.manifest,
                "entries": [_json(entry) for entry in artifact.entries],
            },
        }


def folder_beside(file: Path) -> TemporaryDirectory[str]:
    """A folder for the files of a version, on the same disk as the file that has them."""
    return TemporaryDirectory(prefix=f".{file.name}.", dir=file.absolute().parent)


def pack(package: Package, files: Mapping[str, Path], target: Path) -> None:
    """Writes a file, which appears under its name once it is whole.

    Args:
        package: What it holds.
        files: The files of the version, by path.
        target: Its path.
    """
    with replacing(target) as opened, zipfile.ZipFile(opened, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member(DOCUMENT), json.dumps(package._document(), indent=1))
        for path, file in sorted(files.items()):
            with archive.open(_member(FOLDER + path), "w", force_zip64=True) as member, file.open("rb") as source:
                while piece := read_piece(source):
                    member.write(piece)


def read(source: Path) -> Package:
    """Reads what a file holds, without its files. Raises `InvalidInput` if it is none that `pack` wrote, or is damaged."""
    try:
        with zipfile.ZipFile(source) as archive:
            return _read(archive, source.stat().st_size)
    except OSError as error:
        raise InvalidInput(f"{source} cannot be read: {error.strerror}.") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(str(error)) from None


def unpack(source: Path, package: Package, folder: Path) -> dict[str, Path]:
    """Unpacks the files of a version into an empty folder, under numbers: no name is what the archive says.

    Returns them by digest. Raises `InvalidInput` if one is not as the manifest says.
    """
    assert package.artifact is not None, "there are no files"
    unpacked: dict[str, Path] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            for entry in package.artifact.entries:
                blob = entry.file.blob
                if entry.HasField("file") and blob.sha256 not in unpacked:
                    target = folder / str(len(unpacked))
                    with archive.open(FOLDER + entry.path) as member, target.open("xb") as file:
                        if _copy(member, file) != (blob.sha256, blob.size_bytes):
                            raise _damaged(f"{entry.path!r} is not as the manifest says")
                    unpacked[blob.sha256] = target
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _damaged(str(error)) from None
    return unpacked


def _read(archive: zipfile.ZipFile, archive_bytes: int) -> Package:
    members = archive.infolist()
    if len(members) > ENTRIES_MAX + 1:
        raise _damaged(f"it has more than {ENTRIES_MAX:,} files")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
            raise _damaged(f"{member.filename!r} is compressed or encrypted")
        if member.file_size != member.compress_size:
            raise _damaged(f"{member.filename!r} has two sizes")
    # Members that share their bytes would take more of the disk than the archive does.
    if sum(member.file_size for member in members) > archive_bytes:
        raise _damaged("its files are larger than itself")
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) != len(members):
        raise _damaged("a name is there twice")
    if sizes.get(DOCUMENT, DOCUMENT_BYTES_MAX + 1) > DOCUMENT_BYTES_MAX:
        raise _damaged(f"it has no {DOCUMENT}, or too large a one")
    try:
        package = _package(json.loads(archive.read(DOCUMENT)))
    except (ParseError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(f"{DOCUMENT} cannot be understood ({type(error).__name__})") from None
    for entry in package.artifact.entries if package.artifact is not None else ():
        if entry.WhichOneof("content") is None:
            raise _damaged(f"{entry.path!r} is neither file nor reference")
        problem = path_problem(entry.path)
        if problem is not None:
            raise _damaged(f"the path {entry.path!r} {problem}")
        if entry.HasField("file") and sizes.get(FOLDER + entry.path) != entry.file.blob.size_bytes:
            raise _damaged(f"{entry.path!r} is missing, or not of the size that the manifest says")
    return package


def _package(document: Any) -> Package:
    if document["format"] != FORMAT:
        raise ValueError
    if document["format_version"] != FORMAT_VERSION:
        raise InvalidInput(
            f"The file has format {document['format_version']}, this program reads {FORMAT_VERSION}: use a newer one.",
            reason="PACKAGE_INVALID",
        )
    of, baseline = document["artifact"], document["baseline"]
    artifact = None
    if of is not None:
        if len(of["entries"]) > ENTRIES_MAX:
            raise ValueError
        entries = tuple(ParseDict(entry, artifact_pb2.ManifestEntry()) for entry in of["entries"])
        artifact = PackageArtifact(
            str(of["name"]), str(of["type"]), str(of["description"]), str(of["manifest"]), entries
        )
    # Full names would lead to another project than the one that it is imported to.
    if "/" in document["model"] or (artifact is not None and "/" in artifact.name):
        raise ValueError
    return Package(
        model=document["model"],
        version=ParseDict(document["version"], model_pb2.ModelVersion()),
        baseline=None if baseline is None else ParseDict(baseline, model_pb2.ModelBaseline()),
        artifact=artifact,
        origin={str(name): str(value) for name, value in document["origin"].items()},
    )


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    """Copies a file. Returns its SHA-256 and its bytes."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(1024 * 1024):
        digest.update(piece)
        size += target.write(piece)
    return digest.hexdigest(), size


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EARLIEST)
    member.external_attr = _FILE_MODE
    return member


def _json(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _damaged(problem: str) -> InvalidInput:
    return InvalidInput(
        f"This is no model version that `penstock model export` wrote: {problem}.", reason="PACKAGE_INVALID"
    )
