"""Logs runs offline with W&B."""

import contextlib
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


def log_artifacts(folder: str, data: str) -> dict[str, Any]:
    """A run with artifacts. Returns the digest of each file, or its reference, by path, for each version.

    Args:
        folder: Where the run is kept.
        data: Where W&B keeps its data.
    """
    os.environ["WANDB_DATA_DIR"] = data
    own = Path(folder) / "own"
    (own / "images").mkdir(parents=True)
    (own / "rows.csv").write_text("a,b\n1,2\n")
    (own / "images" / "0.bin").write_bytes(os.urandom(3_000))
    (own / "large.bin").write_bytes(os.urandom(20_000_000))
    run = start(folder, name="artifacts")
    first = wandb.Artifact("digits", "dataset", description="Some *digits*.", metadata={"rows": 1, "by": {"n": [1, 2]}})
    first.add_dir(str(own))
    with first.new_file("notes.txt") as file:
        file.write("made on the way")
    first.add(wandb.Table(columns=["a", "image"], data=[[1, wandb.Image(np.zeros((4, 4, 3), np.uint8))]]), "samples")
    first.add_reference("s3://bucket/digits.csv", name="outside/digits.csv", checksum=False)
    # W&B looks at it; nobody else does.
    first.add_reference((own / "rows.csv").as_uri(), name="outside/rows.csv")
    first.add_file(str(own / "large.bin"), name="left/large.bin", policy="immutable")
    run.log_artifact(first, aliases=["best", "v-one"])
    second = wandb.Artifact("digits", "dataset")
    second.add_file(str(own / "rows.csv"))
    run.log_artifact(second)
    with contextlib.suppress(NotImplementedError):
        # Offline it logs the artifact once more, and then says that it cannot link it.
        run.link_artifact(second, "registry/digits")
    run.log_model(str(own / "images"), name="reader")
    run.log_code(str(own), include_fn=lambda path: path.endswith("rows.csv"))
    run.log({"table": wandb.Table(columns=["x"], data=[[1], [2]])})
    run.finish()
    del os.environ["WANDB_DATA_DIR"]
    return {
        "id": run.id,
        "versions": [_contents(first), _contents(second)],
        "samples": next(entry.local_path for path, entry in first.manifest.entries.items() if path.endswith(".json")),
        "staged": next(entry.local_path for path, entry in first.manifest.entries.items() if path == "notes.txt"),
    }


def _contents(artifact: Any) -> dict[str, str]:
    return {
        path: entry.ref or hashlib.sha256(Path(entry.local_path).read_bytes()).hexdigest()
        for path, entry in artifact.manifest.entries.items()
    }


os.environ["WANDB_ERROR_REPORTING"] = "false"
serve({"write": write, "fail": fail, "log_artifacts": log_artifacts})
