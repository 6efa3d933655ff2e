"""A training that logs a row every five milliseconds until a file appears.

Tests copy this file to a folder of their own and run it there; they import it to know what it logs, to the last bit.

    python steady.py STOP_FILE SEED [FINISH_TIMEOUT_S]

Reports on standard output, as lines of JSON: `run`, then `rows` once it is told to stop, then `receipt`.
"""

import dataclasses
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import penstock

__all__ = ["KEYS", "ROW_INTERVAL_S", "value"]

KEYS = ("train/loss", "train/accuracy", "odd value")
RARE = (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308)
"""Values that are easily lost on the way: the last metric has them."""
ROW_INTERVAL_S = 0.005


def value(seed: int, key: str, step: int) -> float:
    """What is logged."""
    if key == KEYS[-1] and step % 10 < len(RARE):
        return RARE[step % 10]
    return random.Random(f"{seed}/{key}/{step}").gauss(0, 1)


def report(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    stop_file, seed = Path(sys.argv[1]), int(sys.argv[2])
    timeout_s = float(sys.argv[3]) if len(sys.argv) > 3 else None
    run = penstock.init(project="default", experiment="robustness", name=f"steady-{seed}", system_metrics=False)
    report(run=run.resource_name)
    step = 0
    while not stop_file.exists():
        run.log({key: value(seed, key, step) for key in KEYS}, step=step)
        step += 1
        time.sleep(ROW_INTERVAL_S)
    report(rows=step)
    report(receipt=dataclasses.asdict(run.finish(timeout_s=timeout_s)))


if __name__ == "__main__":
    main()
