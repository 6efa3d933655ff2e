"""What can go wrong with artifacts, in its own words. `penstock_kit.errors` says which gRPC code each family becomes."""

from penstock_kit.errors import Aborted, InvalidInput, LimitExceeded, NotFound, PreconditionFailed

__all__ = [
    "ArtifactNotFound",
    "BlobMismatch",
    "BlobsMissing",
    "FieldInvalid",
    "FileNotFound",
    "ManifestInvalid",
    "ManifestTooLarge",
    "NoDirectWay",
    "PartInvalid",
    "PartsNotThere",
    "PathInvalid",
    "PathTaken",
    "QuotaExceeded",
    "RangeInvalid",
    "ReferenceNotStored",
    "StoreFull",
    "TooManyMediaKeys",
    "TooManyWriters",
    "TypeDiffers",
    "UploadInvalid",
    "UploadLimitReached",
    "UploadNotFound",
    "UploadSilent",
    "VersionLimitReached",
    "VersionNotFound",
]


class ArtifactNotFound(NotFound):
    """There is no such artifact."""

    reason = "ARTIFACT_NOT_FOUND"


class VersionNotFound(NotFound):
    """The artifact has no such version, or it was deleted."""

    reason = "VERSION_NOT_FOUND"


class FileNotFound(NotFound):
    """There is no file at the path."""

    reason = "FILE_NOT_FOUND"


class UploadNotFound(NotFound):
    """The caller has no such upload: it is somebody else's, was finished or has ended."""

    reason = "UPLOAD_NOT_FOUND"


class PathInvalid(InvalidInput):
    """A path could lead out of the artifact, or cannot be a file somewhere."""

    reason = "PATH_INVALID"


class ManifestInvalid(InvalidInput):
    """Entries of a manifest contradict each other."""

    reason = "MANIFEST_INVALID"


class PathTaken(PreconditionFailed):
    """A path cannot be a file: another one is above it, or below it. Metadata: `path`."""

    reason = "PATH_TAKEN"


class VersionHeld(PreconditionFailed):
    """Somebody keeps the version from being deleted. Metadata: `version`, its number, and `holder`."""

    reason = "VERSION_HELD"


class FieldInvalid(InvalidInput):
    """A field of the request breaks a rule that the contract states in words."""

    reason = "FIELD_INVALID"


class RangeInvalid(InvalidInput):
    """The range begins behind the end of the file."""

    reason = "RANGE_INVALID"


class BlobMismatch(InvalidInput):
    """Other bytes came than were announced."""

    reason = "BLOB_MISMATCH"


class UploadInvalid(InvalidInput):
    """Messages of an upload are out of order."""

    reason = "UPLOAD_INVALID"


class PartInvalid(InvalidInput):
    """A blob has no such part, or the part has other bytes than it should."""

    reason = "PART_INVALID"


class PartsNotThere(PreconditionFailed):
    """An upload cannot be finished yet. Metadata: `part`, the first that is missing."""

    reason = "PARTS_MISSING"


class NoDirectWay(PreconditionFailed):
    """Clients cannot reach where the bytes are: they pass through the service."""

    reason = "NO_DIRECT_WAY"


class BlobsMissing(PreconditionFailed):
    """The manifest names blobs that the project does not have. Metadata: `sha256` of one of them, `missing`, how many."""

    reason = "BLOBS_MISSING"


class TypeDiffers(PreconditionFailed):
    """The artifact has another type. Metadata: `type`."""

    reason = "TYPE_DIFFERS"


class ReferenceNotStored(PreconditionFailed):
    """The path is a reference: its content is elsewhere. Metadata: `uri`."""

    reason = "REFERENCE_NOT_STORED"


class UploadSilent(Aborted):
    """Nothing came for a while."""

    reason = "UPLOAD_SILENT"


class TooManyWriters(Aborted):
    """Others were quicker again and again."""

    reason = "TOO_MANY_WRITERS"


class TooManyMediaKeys(LimitExceeded):
    """A run would have media under more keys than it may."""

    reason = "TOO_MANY_MEDIA_KEYS"


class QuotaExceeded(LimitExceeded):
    """The project may not store that much. Metadata: `used_bytes`, `quota_bytes`, `needed_bytes`."""

    reason = "QUOTA_EXCEEDED"


class StoreFull(LimitExceeded):
    """There is no room where files are stored."""

    reason = "STORE_FULL"


class UploadLimitReached(LimitExceeded):
    """The project has `UPLOADS_PER_PROJECT_MAX` uploads that are not finished."""

    reason = "UPLOAD_LIMIT_REACHED"


class ManifestTooLarge(LimitExceeded):
    """The manifest has more than `ENTRIES_MAX` entries or `MANIFEST_BYTES_MAX` bytes."""

    reason = "MANIFEST_TOO_LARGE"


class VersionLimitReached(LimitExceeded):
    """The artifact has had `VERSIONS_PER_ARTIFACT_MAX` versions."""

    reason = "VERSION_LIMIT_REACHED"
