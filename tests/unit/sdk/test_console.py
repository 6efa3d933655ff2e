"""What a process prints, kept line by line; nobody who prints notices."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import penstock
from penstock.run import console as run_console
from penstock.run.console import Console
from penstock.spool import console as spool_console
from penstock.spool.console import ConsoleSource


def kept(folder: Path) -> str:
    return (folder / "console.log").read_text()


Start = Callable[[], Console]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Begins to keep what is printed. Not before the test runs: pytest has streams of its own for each part of it."""
    made: list[Console] = []

    def begin() -> Console:
        made.append(Console(tmp_path))
        return made[-1]

    yield begin
    made[-1].close()


def test_lines_of_both_streams_are_kept_and_shown(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = start()
    print("one", end="")
    print("to stderr", file=sys.stderr)
    print(" and a half")
    sys.stdout.writelines(["ünï\n", "code\n"])
    print("begun", end="")
    assert kept(tmp_path) == "to stderr\none and a half\nünï\ncode\n"
    console.close()
    assert kept(tmp_path).endswith("code\nbegun\n")
    print("later")
    assert "later" not in kept(tmp_path)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("one and a half\nünï\ncode\nbegunlater\n", "to stderr\n")


def test_a_progress_bar_is_kept_as_it_was_at_last(start: Start, tmp_path: Path) -> None:
    start()
    for percent in range(101):
        sys.stderr.write(f"\r{percent} %")
    sys.stderr.write("\nWindows\r\n")
    assert kept(tmp_path) == "100 %\nWindows\n"


def test_a_stream_is_as_it_was_for_all_else(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    console = start()
    assert sys.stdout.write("four") == 4
    assert sys.stdout.isatty() is False
    assert sys.stdout.encoding
    sys.stdout.flush()
    original = sys.stdout.original  # type: ignore[attr-defined]  # ours
    sys.stdout = other = original
    console.close()
    assert sys.stdout is other


def test_a_line_without_end_is_kept_in_parts(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setattr(run_console, "LINE_CHARS_MAX", 10)
    for _ in range(3):
        sys.stdout.write("x" * 6)
    assert kept(tmp_path) == "x" * 12 + "\n"


def test_too_much_ends_with_a_line_that_says_so(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setattr(spool_console, "CONSOLE_BYTES_MAX", 10)
    for _ in range(4):
        print("123")
    assert kept(tmp_path).splitlines() == [
        "123",
        "123",
        "penstock: what is printed from here on is not kept: there is too much.",
    ]


def test_a_forked_child_prints_into_the_same_file(start: Start, tmp_path: Path) -> None:
    console = start()
    print("parent")
    sys.stdout.write("begun by the parent ")
    pid = os.fork()
    if pid == 0:
        console.after_fork_in_child()
        print("child")
        os._exit(0)
    os.waitpid(pid, 0)
    print("and ended")
    assert kept(tmp_path) == "parent\nchild\nbegun by the parent and ended\n"


def test_stretches_are_put_once_whatever_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ConsoleSource(tmp_path).left, ConsoleSource(tmp_path).next()) == (0, None)
    file = tmp_path / "console.log"
    file.write_bytes(b"one\ntwo\nthree\n")
    monkeypatch.setattr(spool_console, "STRETCH_BYTES_MAX", 10)
    source = ConsoleSource(tmp_path)
    first = source.next()
    assert first == (0, b"one\ntwo\n")
    # Killed after it was put and before that was noted: under the same offset there is no less.
    monkeypatch.setattr(spool_console, "STRETCH_BYTES_MAX", 1_000)
    source = ConsoleSource(tmp_path)
    again = source.next()
    assert again == (0, b"one\ntwo\nthree\n")
    source.put(again)
    assert (source.left, source.next(), ConsoleSource(tmp_path).next()) == (0, None, None)
    with file.open("ab") as opened:
        opened.write(b"four\n")
    assert ConsoleSource(tmp_path).next() == (14, b"four\n")


def test_a_run_keeps_it_if_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.delenv("PENSTOCK_CONSOLE", raising=False)
    before = sys.stdout
    for console, variable, expected in ((True, "", True), (False, "", False), (False, "1", True)):
        monkeypatch.setenv("PENSTOCK_CONSOLE", variable)
        with penstock.init(mode="offline", system_metrics=False, capture=False, console=console) as run:
            print("hello")
            assert run.spool_folder is not None
            assert ((run.spool_folder / "console.log").exists()) is expected
        assert sys.stdout is before
    with penstock.init(mode="disabled", console=True):
        print("hello")
