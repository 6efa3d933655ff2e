"""Orders of a spool: what is written survives, what was carried out is counted once."""

import json
import threading
from pathlib import Path

import pytest
from support.spools import new_spool

from penstock.errors import RunFinished, SpoolFull
from penstock.spool import orders
from penstock.spool.orders import OrderBook, OrderWriter


def contents(book: OrderBook) -> list[tuple[int, str, object]]:
    return [(order.number, order.kind, order.content.get("n")) for order in book.pending()]


def test_orders_are_read_as_they_were_written(tmp_path: Path) -> None:
    writer = OrderWriter(tmp_path)
    assert OrderBook(tmp_path).pending() == []
    assert writer.write("alert", {"n": 1})
    assert writer.write("artifact", {"n": 2}, lambda path: path.write_bytes(b"bytes"))
    book = OrderBook(tmp_path)
    assert contents(book) == [(1, "alert", 1), (2, "artifact", 2)]
    assert book.pending()[1].data.read_bytes() == b"bytes"
    assert (book.pending()[1].data.stat().st_mode & 0o077, writer.count) == (0o044 & 0o077, 2)


def test_what_was_carried_out_is_gone_and_counted_once_whatever_is_killed(tmp_path: Path) -> None:
    writer = OrderWriter(tmp_path)
    for n in range(3):
        writer.write("alert", {"n": n}, lambda path: path.write_bytes(b"x"))
    book = OrderBook(tmp_path)
    first = book.pending()[0]
    kept = (tmp_path / "orders" / "00000001.json").read_bytes()
    book.finish([first])
    # A sender that was killed between the note and the removal.
    (tmp_path / "orders" / "00000001.json").write_bytes(kept)
    # And one that was killed while it wrote a note.
    with (tmp_path / "orders" / "done").open("ab") as file:
        file.write(b"\x02\x00\x00")
    book = OrderBook(tmp_path)
    assert (book.done_count, contents(book)) == (1, [(2, "alert", 1), (3, "alert", 2)])
    book.finish(book.pending())
    assert (OrderBook(tmp_path).done_count, OrderBook(tmp_path).pending()) == (3, [])
    assert sorted(path.name for path in (tmp_path / "orders").iterdir()) == ["done"]


def test_an_order_whose_bytes_fail_is_none(tmp_path: Path) -> None:
    writer = OrderWriter(tmp_path)

    def fails(path: Path) -> None:
        path.mkdir()
        (path / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        writer.write("artifact", {"n": 1}, fails)
    assert list((tmp_path / "orders").iterdir()) == []
    writer.write("artifact", {"n": 2})
    assert contents(OrderBook(tmp_path)) == [(1, "artifact", 2)]


def test_an_order_that_got_no_name_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk took its bytes, and then not the order. The next one has its number."""
    writer = OrderWriter(tmp_path)

    def folder(path: Path) -> None:
        path.mkdir()
        (path / "model").write_bytes(b"bytes")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(orders, "write_private", full)
        with pytest.raises(OSError, match="No space left"):
            writer.write("artifact", {"n": 1}, folder)
    assert OrderBook(tmp_path).pending() == []
    assert writer.write("file", {"n": 2}, lambda path: path.write_bytes(b"x"))
    assert writer.write("artifact", {"n": 3}, folder)
    book = OrderBook(tmp_path)
    assert contents(book) == [(1, "file", 2), (2, "artifact", 3)]
    assert book.pending()[0].data.read_bytes() == b"x"


def test_what_cannot_be_read_has_no_kind(tmp_path: Path) -> None:
    OrderWriter(tmp_path).write("alert", {"n": 1})
    (tmp_path / "orders" / "00000001.json").write_bytes(b"")
    assert contents(OrderBook(tmp_path)) == [(1, "", None)]


def test_a_finished_spool_takes_none_also_not_what_is_being_written(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    begun, ended = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def slow(path: Path) -> None:
        path.write_bytes(b"x")
        begun.set()
        ended.wait(20)

    def write() -> None:
        try:
            writer.write_order("artifact", {}, slow)
        except RunFinished as error:
            raised.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(20)
    writer.write_order("alert", {})
    writer.finish("FINISHED", "", closes_run=True)
    ended.set()
    thread.join()
    assert len(raised) == 1
    with pytest.raises(RunFinished):
        writer.write_order("alert", {})
    assert [order.kind for order in OrderBook(writer.folder).pending()] == ["alert"]
    (end,) = [line for line in _records(writer.folder) if "orders" in line]
    assert end["orders"] == 1


def test_a_disk_that_takes_none_is_said(tmp_path: Path) -> None:
    writer = new_spool(tmp_path)
    (writer.folder / "orders").write_bytes(b"in the way")
    with pytest.raises(SpoolFull, match="cannot be written"):
        writer.write_order("alert", {})


def _records(folder: Path) -> list[dict[str, object]]:
    from penstock.spool.reader import START, SpoolReader
    from penstock.spool.records import RecordType

    records = SpoolReader(folder).records(START, ended=True, damage=[])
    return [json.loads(bytes(record.payload)) for record in records if record.type == RecordType.FINISH]
