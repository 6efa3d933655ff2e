"""Generates the synchronous client from the asynchronous one: sdk/src/penstock/client/_async -> _sync.

    unasync.py          writes it
    unasync.py --check  fails when what is there is not what the source says

The source is written so that this is a matter of words: what differs beyond them is in `runtime_async` and `runtime_sync`.
"""

import re
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "sdk" / "src" / "penstock" / "client"
HEADER = "# Generated from {source} by deploy/tools/unasync.py. Change that one.\n"
WORDS = {
    "AsyncAccounts": "Accounts",
    "AsyncAlerts": "Alerts",
    "AsyncArtifacts": "Artifacts",
    "AsyncChannel": "Channel",
    "AsyncClient": "Client",
    "AsyncEvents": "Events",
    "AsyncFiles": "Files",
    "AsyncGates": "Gates",
    "AsyncModels": "Models",
    "AsyncPackages": "Packages",
    "AsyncPages": "Pages",
    "AsyncPoints": "Points",
    "AsyncTransfers": "Transfers",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "_async": "_sync",
    "aclose": "close",
    "runtime_async": "runtime_sync",
}
DOCSTRINGS = {
    "The asynchronous client: the source from which the synchronous one is generated.": "The synchronous client.",
}


def synchronous(source: str) -> str:
    """The synchronous twin of asynchronous source text."""
    text = source
    for sentence, replacement in DOCSTRINGS.items():
        text = text.replace(sentence, replacement)
    text = re.sub(r"\basync (def|for|with)\b", r"\1", text)
    text = re.sub(r"\bawait ", "", text)
    return re.sub(r"\b(?:" + "|".join(WORDS) + r")\b", lambda match: WORDS[match[0]], text)


def generated() -> dict[Path, str]:
    """What belongs into the `_sync` folder, by file."""
    return {
        CLIENT / "_sync" / path.name: HEADER.format(source=f"_async/{path.name}") + synchronous(path.read_text("utf-8"))
        for path in sorted((CLIENT / "_async").glob("*.py"))
    }


def main() -> int:
    """Writes or checks. Returns the exit status."""
    wanted = generated()
    there = {path: path.read_text("utf-8") for path in (CLIENT / "_sync").glob("*.py")}
    if "--check" in sys.argv[1:]:
        if wanted == there:
            return 0
        names = sorted(path.name for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))
        print(
            f"sdk/src/penstock/client/_sync is not what _async says ({', '.join(names)}): run 'make protos'.",
            file=sys.stderr,
        )
        return 1
    (CLIENT / "_sync").mkdir(exist_ok=True)
    for path in there.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        if there.get(path) != text:
            path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
