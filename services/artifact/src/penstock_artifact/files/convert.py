"""Between the messages of the contract about files of runs and logged models and the domain."""

import re
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.artifact.v1 import artifact_service_pb2, file_pb2, media_pb2
from penstock_artifact.convert import DATA_BYTES_MAX, blob_from_message, blob_message
from penstock_artifact.domain import BLOB_BYTES_MAX, File
from penstock_artifact.errors import FieldInvalid, UploadInvalid
from penstock_artifact.files.domain import FileUpload, NewFile, OwnedFile, Owner
from penstock_artifact.files.media import Media, MediaKey, MediaKind
from penstock_kit.names import LoggedModelName, RunName

__all__ = [
    "entry_message",
    "file_from_message",
    "file_message",
    "media_key_message",
    "owner_from_name",
    "upload_file_request",
    "upload_from_message",
]

_MEDIA_TYPE: Final = re.compile(r"([a-zA-Z0-9!#$&^_.+-]+/[a-zA-Z0-9!#$&^_.+-]+)?")
_MEDIA_TYPE_CHARS_MAX: Final = 127
_TIME_S_MAX: Final = 253_402_300_799  # the end of the year 9999
_LOGGED_MODEL: Final = "/loggedModels/"


def owner_from_name(name: str) -> Owner:
    """Reads the name of what has files. Raises `NameInvalid`."""
    return LoggedModelName.parse(name) if _LOGGED_MODEL in name else RunName.parse(name)


def upload_file_request(raw: bytes) -> artifact_service_pb2.UploadFileRequest:
    """Reads a message of an upload. Raises `UploadInvalid` if it has too many bytes.

    In place of protovalidate, which would copy the bytes of each message twice.
    """
    request = artifact_service_pb2.UploadFileRequest.FromString(raw)
    if len(request.data) > DATA_BYTES_MAX:
        raise UploadInvalid(f"A message has {len(request.data):,} bytes of a file; {DATA_BYTES_MAX:,} is the most.")
    return request


def upload_from_message(message: file_pb2.FileUpload) -> FileUpload:
    """Unpacks an announced file, whose path is not looked at yet. Raises `UploadInvalid`."""
    if len(message.media_type) > _MEDIA_TYPE_CHARS_MAX or not _MEDIA_TYPE.fullmatch(message.media_type):
        raise UploadInvalid("The media type is not of the form `image/png`.")
    size = message.size_bytes if message.HasField("size_bytes") else None
    if size is not None and not 0 <= size <= BLOB_BYTES_MAX:
        raise UploadInvalid(
            f"A file is announced with {size:,} bytes; 0 to {BLOB_BYTES_MAX:,} are allowed. Split the file."
        )
    return FileUpload(message.path, message.media_type, size)


def file_from_message(message: file_pb2.File) -> NewFile:
    """Unpacks a file that shall be put. Raises `FieldInvalid` for a time that there is not."""
    file = File(message.path, blob_from_message(message.blob), message.media_type)
    if not message.HasField("media"):
        return NewFile(file)
    media = message.media
    if not 0 <= media.log_time.seconds <= _TIME_S_MAX or not 0 <= media.log_time.nanos < 1_000_000_000:
        raise FieldInvalid("The time of media is not between 1970 and 9999.", field="files.media.log_time")
    log_us = media.log_time.seconds * 1_000_000 + media.log_time.nanos // 1_000
    return NewFile(file, Media(media.key, MediaKind(media.kind), media.step, log_us, media.rank, media.caption))


def file_message(owner: Owner, one: OwnedFile) -> file_pb2.File:
    """Packs a file."""
    return file_pb2.File(
        parent=str(owner),
        path=one.file.path,
        blob=blob_message(one.file.blob),
        media_type=one.file.media_type,
        creator=one.creator,
        update_time=_time(one.update_us),
        media=None if one.media is None else _media_message(one.media),
    )


def media_key_message(key: MediaKey) -> media_pb2.MediaKey:
    """Packs what is known of the media under one key."""
    return media_pb2.MediaKey(key=key.key, kind=f"MEDIA_KIND_{key.kind.name}", last_step=key.last_step)


def _media_message(media: Media) -> media_pb2.Media:
    return media_pb2.Media(
        key=media.key,
        kind=f"MEDIA_KIND_{media.kind.name}",
        step=media.step,
        log_time=_time(media.log_us),
        rank=media.rank,
        caption=media.caption,
    )


def _time(us: int) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(us)
    return time


def entry_message(owner: Owner, entry: OwnedFile | str) -> file_pb2.DirectoryEntry:
    """Packs what a directory holds: a file, or the path of a directory."""
    if isinstance(entry, str):
        return file_pb2.DirectoryEntry(directory=entry)
    return file_pb2.DirectoryEntry(file=file_message(owner, entry))
