"""The spool on disk: framing, torn tails, damage, key sets across segments, cuts."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.spools import batches_of, decoded, new_spool, points_of, spool_points

from penstock.errors import SpoolCorrupt
from penstock.spool import cuts as cuts_module
from penstock.spool.cuts import CHAIN_START, NO_CUT, Cut, CutFile, read_cuts
from penstock.spool.files import write_private
from penstock.spool.locks import OwnerLock, SenderLock, owner_is_alive, sender_is_alive
from penstock.spool.meta import ReceiptData, SpoolMeta, Status, read_receipt, read_status, write_receipt, write_status
from penstock.spool.reader import START, Damage, Position, SpoolReader
from penstock.spool.records import (
    RECORD_BYTES_MAX,
    RecordType,
    frame,
    next_record,
    record_at,
    segment_header,
    segment_header_problem,
)
from penstock.spool.segments import segment_numbers, segment_path


@given(st.binary(max_size=300), st.sampled_from(RecordType), st.binary(max_size=20))
def test_a_record_is_found_behind_anything(payload: bytes, record_type: RecordType, before: bytes) -> None:
    data = memoryview(before + frame(record_type, payload))
    found = record_at(data, len(before))
    assert found is not None
    assert (found.type, bytes(data[found.start : found.end])) == (record_type, payload)
    start = next_record(data, 0)
    assert start is not None
    assert start <= len(before)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_changed_byte_is_noticed(payload: bytes, data: st.DataObject) -> None:
    record = bytearray(frame(RecordType.ROW, payload))
    index = data.draw(st.integers(0, len(record) - 1))
    record[index] ^= data.draw(st.integers(1, 255))
    assert record_at(memoryview(record), 0) is None


@given(st.binary(max_size=200))
def test_a_record_cut_short_is_none(payload: bytes) -> None:
    record = frame(RecordType.TAG, payload)
    for length in range(len(record)):
        assert record_at(memoryview(record)[:length], 0) is None


def test_a_record_at_the_limit_and_above() -> None:
    assert record_at(memoryview(frame(RecordType.ROW, bytes(RECORD_BYTES_MAX))), 0) is not None
    with pytest.raises(ValueError, match="longer"):
        frame(RecordType.ROW, bytes(RECORD_BYTES_MAX + 1))


def test_zeros_are_no_record() -> None:
    # What some file systems leave at the end of a file after a power failure.
    assert record_at(memoryview(bytes(4096)), 0) is None


def test_a_segment_header_says_what_is_wrong() -> None:
    assert segment_header_problem(segment_header(7), 7) is None
    assert "segment 7" in (segment_header_problem(segment_header(7), 8) or "")
    assert "begin" in (segment_header_problem(bytes(16), 1) or "")
    assert "shorter" in (segment_header_problem(b"PN", 1) or "")
    newer = bytearray(segment_header(1))
    newer[8] = 2
    assert "format 2" in (segment_header_problem(bytes(newer), 1) or "")


def test_files_are_private(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"loss": 1.0}, None)
    assert {path.stat().st_mode & 0o777 for path in writer.folder.iterdir()} == {0o600}
    assert writer.folder.stat().st_mode & 0o777 == 0o700
    writer.abandon()


def test_rows_come_back_bit_exact(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_BEEF))[0]
    for step, value in [(0, -0.0), (2**63 - 1, float("inf")), (-(2**63), 5e-324), (3, nan)]:
        writer.write_row({"a": value, "b": value}, step)
    writer.finish("FINISHED", "", closes_run=True)
    found = [
        (step, struct.pack("<d", value))
        for key, step, _, value in points_of(decoded(batches_of(writer.folder)))
        if key == "b"
    ]
    assert found == [
        (0, struct.pack("<d", -0.0)),
        (2**63 - 1, struct.pack("<d", float("inf"))),
        (-(2**63), struct.pack("<d", 5e-324)),
        (3, struct.pack("<Q", 0x7FF8_0000_0000_BEEF)),
    ]


def test_segments_stand_on_their_own(tmp_path: Path) -> None:
    writer = new_spool(tmp_path, segment_bytes=500)
    for step in range(60):
        writer.write_row({"a": step, "b": step} if step % 3 else {"c": step}, step)
    writer.finish("FINISHED", "", closes_run=True)
    assert len(segment_numbers(writer.folder)) > 5
    assert sum(spool_points(writer.folder).values()) == writer.points == 100
    # From the middle, with the segments before it deleted, as a sender that takes over finds it.
    reader = SpoolReader(writer.folder)
    third = Position(3, START.offset)
    segment_path(writer.folder, 1).unlink()
    segment_path(writer.folder, 2).unlink()
    rows = [record for record in reader.records(third, ended=True, damage=[]) if record.type == RecordType.ROW]
    sets: set[int] = set()
    for record in reader.records(third, ended=True, damage=[]):
        if record.type == RecordType.KEY_SET:
            sets.add(int.from_bytes(record.payload[:4], "little"))
        elif record.type == RecordType.ROW:
            assert int.from_bytes(record.payload[:4], "little") in sets
    assert rows


@pytest.mark.parametrize("cut_bytes", [1, 5, 11, 30])
def test_a_torn_tail_is_left_out_and_counted(tmp_path: Path, cut_bytes: int) -> None:
    writer = new_spool(tmp_path)
    for step in range(10):
        writer.write_row({"a": step}, step)
    writer.abandon()
    path = segment_path(writer.folder, 1)
    os.truncate(path, path.stat().st_size - cut_bytes)
    # While the owner lives it may be a write in progress.
    alive = batches_of(writer.folder, ended=False)
    assert [batch.damage for batch in alive] == [()]
    damage: list[Damage] = []
    assert sum(spool_points(writer.folder, damage).values()) == 9
    assert [item.torn_tail for item in damage] == [True]
    assert "not written to its end" in str(damage[0])


def test_damage_in_the_midst_is_told_and_what_follows_is_kept(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    for step in range(10):
        writer.write_row({"a": step}, step)
    path = segment_path(writer.folder, 1)
    data = bytearray(path.read_bytes())
    # The last but one of ten equal rows.
    data[-60] ^= 0xFF
    path.write_bytes(data)
    damage: list[Damage] = []
    # Even while the owner lives: something whole follows, so nobody is writing there.
    assert sum(1 for _ in points_of(decoded(batches_of(writer.folder, ended=False)))) == 9
    assert sum(spool_points(writer.folder, damage).values()) == 9
    assert [item.torn_tail for item in damage] == [False]
    assert "lost" in str(damage[0])
    writer.abandon()


def test_a_lost_name_does_not_lose_the_rows(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"first": 1.0}, 0)
    writer.write_row({"second": 2.0}, 0)
    writer.finish("FINISHED", "", closes_run=True)
    path = segment_path(writer.folder, 1)
    path.write_bytes(path.read_bytes().replace(b"first", b"fxrst"))
    assert {key for key, _, _ in spool_points(writer.folder)} == {"penstock/damaged-name/0", "second"}


def test_a_lost_key_set_is_counted(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    for step in range(3):
        writer.write_row({"a": 1.0, "b": 2.0}, step)
    writer.finish("FINISHED", "", closes_run=True)
    path = segment_path(writer.folder, 1)
    path.write_bytes(path.read_bytes().replace(struct.pack("<III", 0, 0, 1), struct.pack("<III", 0, 1, 0)))
    (batch,) = batches_of(writer.folder)
    assert (batch.points, batch.points_lost) == (0, 6)
    assert batch.finish is not None
    assert batch.finish["points"] == 6


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    writer = new_spool(tmp_path, segment_bytes=300)
    for step in range(40):
        writer.write_row({"a": step}, step)
    writer.finish("FINISHED", "", closes_run=True)
    segment_path(writer.folder, 2).unlink()
    damage: list[Damage] = []
    spool_points(writer.folder, damage)
    assert [item.position.segment for item in damage] == [2]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    writer.write_row({"a": 1.0}, 0)
    writer.abandon()
    path = segment_path(writer.folder, 1)
    data = bytearray(path.read_bytes())
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(SpoolCorrupt, match="format 9"):
        batches_of(writer.folder)


def _cut(sequence: int) -> Cut:
    return Cut(
        sequence,
        Position(1, sequence * 100),
        Position(1, sequence * 100 + 100),
        sequence * 10,
        3,
        1,
        bytes([sequence % 256]) * 32,
        CHAIN_START,
    )


def test_cuts_come_back(tmp_path: Path) -> None:
    file = CutFile(tmp_path)
    assert file.last == NO_CUT
    file.append([_cut(1), _cut(2)])
    file.append([_cut(3)])
    file.close()
    assert read_cuts(tmp_path) == [_cut(1), _cut(2), _cut(3)]
    again = CutFile(tmp_path)
    assert (again.last, again.get(2), again.get(0), again.get(4)) == (_cut(3), _cut(2), NO_CUT, None)
    again.close()


@pytest.mark.parametrize("lost_bytes", [1, 50, 115])
def test_a_torn_cut_was_never_sent(tmp_path: Path, lost_bytes: int) -> None:
    file = CutFile(tmp_path)
    file.append([_cut(1), _cut(2)])
    file.close()
    path = tmp_path / "cuts"
    os.truncate(path, path.stat().st_size - lost_bytes)
    again = CutFile(tmp_path)
    assert again.last == _cut(1)
    again.append([_cut(2)])
    again.close()
    assert read_cuts(tmp_path) == [_cut(1), _cut(2)]


def test_a_damaged_cut_in_the_midst_is_an_error(tmp_path: Path) -> None:
    file = CutFile(tmp_path)
    file.append([_cut(1), _cut(2), _cut(3)])
    file.close()
    path = tmp_path / "cuts"
    data = bytearray(path.read_bytes())
    data[130] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpoolCorrupt, match="cuts"):
        read_cuts(tmp_path)


def test_cuts_that_are_long_acknowledged_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts_module, "_TRIM_CUTS_MIN", 5)
    file = CutFile(tmp_path)
    file.append([_cut(number) for number in range(1, 11)])
    file.trim(8)
    file.append([_cut(11)])
    assert (file.get(7), file.get(8), file.last) == (None, _cut(8), _cut(11))
    file.close()
    assert read_cuts(tmp_path) == [_cut(number) for number in range(8, 12)]


def test_one_sender_at_a_time(tmp_path: Path) -> None:
    lock = SenderLock.try_acquire(tmp_path)
    assert lock is not None
    assert SenderLock.try_acquire(tmp_path) is None
    assert sender_is_alive(tmp_path)
    lock.release()
    assert not sender_is_alive(tmp_path)


def test_the_owner_is_alive_until_it_is_gone(tmp_path: Path) -> None:
    assert not owner_is_alive(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        OwnerLock(tmp_path)
        os.write(writing, b"x")
        os.read(os.pipe()[0], 1)
    os.read(reading, 1)
    assert owner_is_alive(tmp_path)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert not owner_is_alive(tmp_path)
    os.close(reading)
    os.close(writing)


def test_small_files(tmp_path: Path) -> None:
    meta = SpoolMeta(run_id="a" * 32, writer_id="b" * 32, project="digits", start_time_us=5, display_name="näme")
    meta.write(tmp_path)
    assert SpoolMeta.read(tmp_path) == meta
    assert meta.run_name == f"projects/digits/runs/{'a' * 32}"
    status = Status("streaming", acked_points=3, warnings=["w"])
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    receipt = ReceiptData("r", "FINISHED", 1, 1, 0, "00", True, 7)
    write_receipt(tmp_path / "receipt.json", receipt)
    assert read_receipt(tmp_path / "receipt.json") == receipt
    write_private(tmp_path / "meta.json", b"{")
    with pytest.raises(SpoolCorrupt):
        SpoolMeta.read(tmp_path)
    assert read_receipt(tmp_path / "missing.json") is None
