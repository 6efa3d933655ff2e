"""The file formats of TensorBoard and W&B: whole, cut off, damaged."""

import contextlib
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wandb_files import wandb_file

from penstock.errors import NotFound
from penstock.importers.importing import ImportedRun, look_through
from penstock.importers.model import SourceDamaged
from penstock.importers.tensorboard import TensorBoardSource, _Event
from penstock.importers.tfrecord import records
from penstock.importers.wandb import WandbOfflineSource
from penstock.importers.wandb.records import Record, log_records

# From RFC 3720, B.4: the CRC-32C of 32 bytes of zeros, and of 32 bytes of ones.
CRC_OF_ZEROS = 0x8A9136AA
CRC_OF_ONES = 0x62A8AB43


def masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """Bit by bit, as the polynomial says it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def tfrecord(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(crc32c(length)) + data + masked(crc32c(data))


def tensorboard_records(path: Path) -> Iterator[bytes]:
    return records(path, check=True)


FORMATS: dict[str, tuple[Callable[[Sequence[bytes]], bytes], Callable[[Path], Iterator[bytes]]]] = {
    "tensorboard": (lambda payloads: b"".join(map(tfrecord, payloads)), tensorboard_records),
    "wandb": (wandb_file, log_records),
}
PAYLOADS = [b"first", b"", b"x" * 300, b"last"]


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert crc32c(bytes(32)) == CRC_OF_ZEROS
    assert crc32c(b"\xff" * 32) == CRC_OF_ONES


@pytest.mark.parametrize("name", FORMATS)
def test_records_short_and_long(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    payloads = [b"a", b"", b"b" * 32_761, b"c" * 32_754, b"d" * 32_755, b"e" * 100_000, b"f" * 3_000_000, b"g"]
    path = tmp_path / "file"
    path.write_bytes(write(payloads))
    assert list(read(path)) == payloads


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_that_is_cut_off_is_left_out(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    whole = write(PAYLOADS)
    path = tmp_path / "file"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found = list(read(path))
        assert found == PAYLOADS[: len(found)]
        assert len(found) < len(PAYLOADS)


def test_a_record_that_says_to_be_longer_than_any_file(tmp_path: Path) -> None:
    length = struct.pack("<Q", 2**60)
    path = tmp_path / "file"
    path.write_bytes(tfrecord(b"first") + length + masked(crc32c(length)) + b"some of it")
    assert list(tensorboard_records(path)) == [b"first"]


@pytest.mark.parametrize("name", FORMATS)
def test_no_flipped_bit_passes_for_data(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    whole = write(PAYLOADS)
    path = tmp_path / "file"
    begin = 7 if name == "wandb" else 0
    for place in range(begin, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        found: list[bytes] = []
        with contextlib.suppress(SourceDamaged):
            found.extend(read(path))
        assert found == PAYLOADS[: len(found)]
        assert len(found) < len(PAYLOADS)


@pytest.mark.parametrize("source", [TensorBoardSource, WandbOfflineSource])
def test_places_that_hold_nothing(source: type[TensorBoardSource] | type[WandbOfflineSource], tmp_path: Path) -> None:
    for place, reason in ((tmp_path, "SOURCE_EMPTY"), (tmp_path / "absent", "SOURCE_NOT_FOUND")):
        with pytest.raises(NotFound) as caught:
            source(place).entries()
        assert caught.value.reason == reason
        assert str(place) in caught.value.message


class Silent:
    """A watcher that nobody listens to."""

    def began(self, total: int) -> None:
        pass

    def reading(self, label: str) -> None:
        pass

    def added(self, points: int) -> None:
        pass

    def done(self, run: ImportedRun) -> None:
        pass


FLOATS = st.floats(width=64)
TEXTS = st.text(max_size=5) | st.sampled_from(["_step", "_timestamp", "a._type", "", "NaN", "[" * 5_000, "1e999", "{}"])
ITEMS = st.lists(st.builds(lambda name, text: {"nested_key": [name], "value_json": text}, TEXTS, TEXTS), max_size=4)
WANDB_RECORDS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda items, step: {"history": {"item": items, "step": {"num": step}}}, ITEMS, st.integers(-5, 2**62)),
    st.builds(
        lambda items, when: {"stats": {"item": items, "timestamp": {"seconds": when}}}, ITEMS, st.integers(0, 2**62)
    ),
    st.builds(lambda items: {"config": {"update": items, "remove": items}}, ITEMS),
    st.builds(lambda when: {"run": {"run_id": "x", "start_time": {"seconds": when}}}, st.integers(-(2**62), 2**62)),
    st.builds(
        lambda name, path, size: {
            "artifact": {
                "name": name,
                "metadata": name,
                "manifest": {
                    "contents": [{"path": path, "local_path": path, "ref": name, "digest": path, "size": size}]
                },
            }
        },
        TEXTS,
        TEXTS,
        st.integers(-5, 2**62),
    ),
    st.builds(lambda name: {"use_artifact": {"name": name, "type": name}}, TEXTS),
)
EVENTS: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda when, step, tag, value, dtype, content: {
        "wall_time": when,
        "step": step,
        "summary": {
            "value": [{"tag": tag, "tensor": {"dtype": dtype, "float_val": [value], "tensor_content": content}}]
        },
    },
    FLOATS,
    st.integers(-(2**63), 2**63 - 1),
    TEXTS,
    st.floats(width=32),
    st.integers(0, 30),
    st.binary(max_size=8),
)


@settings(max_examples=100)
@given(st.lists(WANDB_RECORDS, max_size=5), st.binary(max_size=30))
def test_whatever_a_file_of_wandb_holds_is_told(contents: list[dict[str, Any]], foreign: bytes) -> None:
    run = Record(run={"run_id": "x", "project": "p"})
    payloads = [record.SerializeToString() for record in (run, *(Record(**content) for content in contents))]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run-x.wandb").write_bytes(wandb_file([*payloads, foreign]))
        [found] = look_through(WandbOfflineSource(Path(folder)), "default", "", Silent())
    assert found.outcome in ("found", "failed")
    assert (
        found.message == "" or "no sense" in found.message or "no record" in found.message or "64 bits" in found.message
    )


@settings(max_examples=100)
@given(st.lists(EVENTS, max_size=5), st.binary(max_size=30))
def test_whatever_an_event_file_holds_is_told(contents: list[dict[str, Any]], foreign: bytes) -> None:
    payloads = [_Event(**content).SerializeToString() for content in contents]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "events.out.tfevents.1").write_bytes(b"".join(map(tfrecord, [*payloads, foreign])))
        [found] = look_through(TensorBoardSource(Path(folder)), "default", "", Silent())
    assert found.outcome in ("found", "failed")
