"""The records that W&B writes while a run goes on: `run-<id>.wandb`, as far as they are read here.

The format is LevelDB's log: blocks of 32 KiB with records in them, each with a CRC-32, that hold a `Record` of wandb's
protobuf contract.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from penstock.importers.messages import message_classes
from penstock.importers.model import SourceDamaged

__all__ = ["Record", "log_records", "records_of"]

_ITEM: Final = ("optional string key = 1", "repeated string nested_key = 2", "optional string value_json = 16")
_MESSAGES: Final = message_classes(
    "wandb",
    {
        "Record": (
            "optional History history = 2",
            "optional Update summary = 3",
            "optional Update config = 5",
            "optional Stats stats = 7",
            "optional Artifact artifact = 8",
            "optional Run run = 17",
            "optional Exit exit = 18",
            "optional UseArtifact use_artifact = 25",
        ),
        "Item": _ITEM,
        "History": ("repeated HistoryItem item = 1", "optional HistoryStep step = 2"),
        "HistoryItem": (
            *_ITEM,
            "optional bool boolean = 4",
            "optional sint64 integer = 5",
            "optional double number = 6",
        ),
        "HistoryStep": ("optional int64 num = 1",),
        "Update": ("repeated Item update = 1", "repeated Item remove = 2"),
        "Stats": ("optional Time timestamp = 2", "repeated Item item = 3"),
        "Time": ("optional int64 seconds = 1", "optional int32 nanos = 2"),
        "Run": (
            "optional string run_id = 1",
            "optional string entity = 2",
            "optional string project = 3",
            "optional Update config = 4",
            "optional Update summary = 5",
            "optional string run_group = 6",
            "optional string job_type = 7",
            "optional string display_name = 8",
            "optional string notes = 9",
            "repeated string tags = 10",
            "optional string sweep_id = 12",
            "optional string host = 13",
            "optional Time start_time = 17",
            "optional Git git = 21",
        ),
        "Git": ("optional string remote_url = 1", "optional string commit = 2"),
        "Exit": ("optional int32 exit_code = 1",),
        "Artifact": (
            "optional string type = 4",
            "optional string name = 5",
            "optional string digest = 6",
            "optional string description = 7",
            "optional string metadata = 8",
            "optional bool use_after_commit = 10",
            "repeated string aliases = 11",
            "optional Manifest manifest = 12",
            "optional string distributed_id = 13",
            "repeated string tags = 19",
            "optional string digest_algorithm = 20",
            "optional bool incremental = 100",
        ),
        "Manifest": ("repeated ManifestEntry contents = 4", "optional string manifest_file_path = 5"),
        "ManifestEntry": (
            "optional string path = 1",
            "optional string digest = 2",
            "optional string ref = 3",
            "optional int64 size = 4",
            "optional string local_path = 6",
        ),
        "UseArtifact": ("optional string type = 2", "optional string name = 3"),
    },
)
Record: Final = _MESSAGES["Record"]

_FILE_HEAD: Final = struct.Struct("<4sHB")
_MAGIC: Final = (b":W&B", 0xBEE1)
_BLOCK_BYTES: Final = 32_768
_RECORD_HEAD: Final = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def records_of(path: Path) -> Iterator[Any]:
    """The records of a file. Raises `SourceDamaged` behind the last that can be read, `OSError`."""
    for data in log_records(path):
        try:
            yield Record.FromString(data)
        except DecodeError:
            raise SourceDamaged(f"{path} holds something that is no record of W&B.") from None


def log_records(path: Path) -> Iterator[bytes]:
    """The records of LevelDB's log format. One that is cut off at the end is left out.

    Format: https://github.com/google/leveldb/blob/main/doc/log_format.md, with plain CRC-32 over type and data.
    """
    with path.open("rb") as file:
        head = file.read(_FILE_HEAD.size)
        if len(head) < _FILE_HEAD.size:
            return
        if _FILE_HEAD.unpack(head)[:2] != _MAGIC:
            raise SourceDamaged(f"{path} does not begin as a file of W&B does.")
        block = head + file.read(_BLOCK_BYTES - len(head))
        number, offset = 0, len(head)
        parts: list[bytes] = []
        while block:
            while offset + _RECORD_HEAD.size <= len(block):
                checksum, length, kind = _RECORD_HEAD.unpack_from(block, offset)
                end = offset + _RECORD_HEAD.size + length
                if end > len(block):
                    if len(block) < _BLOCK_BYTES:
                        return
                    raise _damaged(path, number, offset)
                data = block[offset + _RECORD_HEAD.size : end]
                if zlib.crc32(block[end - length - 1 : end]) != checksum or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
                    raise _damaged(path, number, offset)
                if kind in (_FULL, _FIRST):
                    parts = []
                parts.append(data)
                if kind in (_FULL, _LAST):
                    yield b"".join(parts)
                offset = end
            if len(block) < _BLOCK_BYTES:
                return
            block, number, offset = file.read(_BLOCK_BYTES), number + 1, 0


def _damaged(path: Path, block: int, offset: int) -> SourceDamaged:
    return SourceDamaged(f"{path} is damaged at byte {block * _BLOCK_BYTES + offset:,}: what follows was not read.")
