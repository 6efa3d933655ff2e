"""`python -m loadtests [NAME...]`: runs benchmarks, prints one JSON line per figure, writes test-results/bench.json."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from loadtests import ingest, log_call, start_up
from loadtests.report import Figure, machine, write

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "log-call": log_call.run,
    "start-up": start_up.run,
    "ingest": ingest.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}: there are {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    print(json.dumps({"machine": machine()}), flush=True)
    figures: list[Figure] = []
    for name in names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            figures.append(figure)
            print(json.dumps(figure.as_json()), flush=True)
    write(figures, Path("test-results/bench.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
