"""`python -m loadtests [NAME...]`: runs benchmarks, prints one JSON line per figure and a table at the end.

The report goes to test-results/bench.json. The exit status is 1 if a benchmark failed to run, not if a figure missed its
goal: what a figure means depends on the machine, and on what else runs there.
"""

import argparse
import importlib
import json
import sys
import traceback
from pathlib import Path

from loadtests.report import Figure, machine, print_table, write

BENCHMARKS = (
    "log_call",
    "start_up",
    "run_log",
    "ingest",
    "concurrent",
    "search",
    "registry",
    "artifacts",
    "storage",
    "charts",
    "export",
    "products",
    "mlflow",
)
"""Modules of this package with a function `run() -> list[Figure]`, in the order in which they run."""
REPORT = Path("test-results/bench.json")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests", description="Measures Penstock beside peers and limits."
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"which: {', '.join(BENCHMARKS)}; none means all")
    parser.add_argument("--report", type=Path, default=REPORT, metavar="FILE", help=f"the report, by default {REPORT}")
    options = parser.parse_args(arguments)
    names: list[str] = [name.replace("-", "_") for name in options.names] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}: there are {', '.join(BENCHMARKS)}")
    where = machine()
    print(json.dumps({"machine": where}), flush=True)
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name in names:
        print(f"Measuring {name} ...", file=sys.stderr, flush=True)
        try:
            found: list[Figure] = importlib.import_module(f"loadtests.{name}").run()
        except Exception as error:
            # The figures of the others are worth having, also after an hour.
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
            continue
        figures += found
        for figure in found:
            print(json.dumps(figure.as_json(), ensure_ascii=False), flush=True)
        write(figures, failed, where, options.report)
    write(figures, failed, where, options.report)
    print_table(figures)
    for name, error in failed.items():
        print(f"{name} failed: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
