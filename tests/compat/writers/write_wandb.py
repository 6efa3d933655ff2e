"""Logs runs offline with W&B."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from serving import bits, serve

Points = dict[str, list[tuple[int, str]]]


def start(folder: str, **options: Any) -> Any:
    settings = wandb.Settings(silent=True, mode="offline", x_disable_stats=True, console="off")
    return wandb.init(project="vision", dir=folder, settings=settings, **options)


def write(folder: str, rows: int) -> dict[str, Any]:
    """A run with everything that W&B knows. Returns what it logged."""
    began_us = time.time_ns() // 1000
    run = start(
        folder,
        name="baseline",
        notes="The *first* one.",
        tags=["paper", "gpu"],
        group="ablation",
        job_type="train",
        config={
            "lr": 0.01,
            "layers": [64, 32],
            "optimizer": {"name": "adam", "amsgrad": True},
            "seed": 7,
            "resume": None,
        },
    )
    points: Points = {}

    def log(values: dict[str, Any], numbers: dict[str, float], step: int) -> None:
        run.log(values, step=step)
        for key, value in numbers.items():
            points.setdefault(key, []).append((step, bits(float(value))))

    for step in range(rows):
        loss = 1 / (step + 1)
        log({"loss": loss, "val": {"accuracy": step / 7}}, {"loss": loss, "val.accuracy": step / 7}, step)
    odd = {"nan": float("nan"), "up": float("inf"), "down": -float("inf"), "tiny": 5e-324, "whole": 2**53, "flag": True}
    log(odd, {key: float(value) for key, value in odd.items()}, rows + 10)
    log({"text": "hello", "weights": wandb.Histogram([1, 2, 3]), "after": 1}, {"after": 1.0}, rows + 11)
    # Longer than a block of the file.
    wide = {f"wide/{number:04d}": number / 3 for number in range(1_200)}
    log(wide, wide, rows + 12)
    run.log({"sample": wandb.Image(np.zeros((4, 4, 3), dtype=np.uint8))}, step=rows + 13)
    run.config.update({"epochs": 3})
    run.summary["best_accuracy"] = 0.875
    run.finish()
    ended_us = time.time_ns() // 1000
    [file] = Path(folder).glob(f"wandb/offline-run-*/run-{run.id}.wandb")
    beside = file.parent / "files"
    files = {
        path.relative_to(beside).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in beside.rglob("*")
        if path.is_file()
    }
    return {
        "points": points,
        "id": run.id,
        "file": str(file),
        "began_us": began_us,
        "ended_us": ended_us,
        "files": files,
    }


def fail(folder: str) -> str:
    """A run that ends with exit code 3. Returns its id."""
    run = start(folder, name="broken")
    run.log({"loss": 1.0})
    run.finish(exit_code=3)
    return run.id


os.environ["WANDB_ERROR_REPORTING"] = "false"
serve({"write": write, "fail": fail})
