"""The synchronous client is what the asynchronous one says, and is complete."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generating_the_synchronous_client_changes_nothing() -> None:
    check = subprocess.run(
        [sys.executable, "deploy/tools/unasync.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr


def test_nothing_asynchronous_is_left_in_it() -> None:
    for path in (ROOT / "sdk/src/penstock/client/_sync").glob("*.py"):
        text = path.read_text()
        for word in ("async ", "await ", "Async", "asyncio", "aiter"):
            assert word not in text.split("\n", 1)[1], f"{word!r} in {path.name}"
