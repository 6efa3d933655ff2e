"""Runs the tests: what can share the machine side by side, then what needs it alone. Prints pytest's own closing line last.

Two processes for two cores; the tests that start whole platforms and browsers, or kill processes, run one after another. Of
the end-to-end tests those that say most run on the other shapes and stores too; `--all` runs each of them on each.
"""

import signal
import subprocess
import sys

E2E = "tests/e2e"
ALONE = [E2E, "tests/robustness"]

SHAPES = ("one", "processes")
STORES = ("embedded", "servers")
ELSEWHERE = {
    ("processes", "embedded"): ["tests/e2e/test_journey.py"],
    ("one", "servers"): ["tests/e2e/test_journey.py", "tests/e2e/test_spools.py"],
    ("processes", "servers"): ["tests/e2e/test_spools.py"],
}
"""By shape and stores, other than the first of each: what runs there in any case."""


def main(arguments: list[str]) -> int:
    # A shell that starts this in the background has it ignore Ctrl-C, and so would all the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if arguments == ["--all"]:
        return max(
            _pytest("-q", E2E, f"--shape={shape}", f"--stores={stores}") for stores in STORES for shape in SHAPES
        )
    if arguments:
        return _pytest(*arguments)
    ignored = [f"--ignore={folder}" for folder in ALONE]
    codes = [_pytest("-q", "-n", "2", "--dist", "loadfile", "tests", *ignored), _pytest("-q", *ALONE)]
    for (shape, stores), files in ELSEWHERE.items():
        codes.append(_pytest("-q", f"--shape={shape}", f"--stores={stores}", *files))
    return max(codes)


def _pytest(*arguments: str) -> int:
    return abs(subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
