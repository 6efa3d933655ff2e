"""Files as W&B writes them, of records that it would not write."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.importers.wandb.records import Record

__all__ = ["wandb_file", "write_wandb_run"]


def write_wandb_run(folder: Path, *records: dict[str, Any]) -> Path:
    """Writes a run that logged some records. Returns its file."""
    file = folder / "offline-run-1-x" / "run-x.wandb"
    file.parent.mkdir(parents=True, exist_ok=True)
    run = {"run": {"run_id": "x", "project": "vision", "start_time": {"seconds": 1_700_000_000}}}
    file.write_bytes(wandb_file([Record(**record).SerializeToString() for record in (run, *records)]))
    return file


def wandb_file(payloads: Sequence[bytes]) -> bytes:
    """LevelDB's log, as wandb writes it."""
    out = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for payload in payloads:
        first = True
        while first or payload:
            left = 32_768 - len(out) % 32_768
            if left < 7:
                out += bytes(left)
                continue
            piece, payload = payload[: left - 7], payload[left - 7 :]
            kind = (1 if not payload else 2) if first else (4 if not payload else 3)
            body = bytes([kind]) + piece
            out += struct.pack("<IH", zlib.crc32(body), len(piece)) + body
            first = False
    return bytes(out)
