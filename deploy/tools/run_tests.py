"""Runs the tests: what can share the machine side by side, then what needs it alone. Prints pytest's own closing line last.

Two processes for two cores; the tests that start whole platforms and browsers, or kill processes, run one after another.
"""

import subprocess
import sys

ALONE = ["tests/e2e", "tests/robustness", "tests/compat"]


def main(arguments: list[str]) -> int:
    if arguments:
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode
    ignored = [f"--ignore={folder}" for folder in ALONE]
    together = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "tests", *ignored]
    first = subprocess.run(together, check=False).returncode
    second = subprocess.run([sys.executable, "-m", "pytest", "-q", *ALONE], check=False).returncode
    return first or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
