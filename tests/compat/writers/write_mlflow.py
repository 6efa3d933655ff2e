"""Logs to MLflow, wherever a tracking URI leads."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # newer versions keep folders for those who insist

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag
from serving import bits, serve

BEGAN_MS = 1_700_000_000_000
Points = dict[str, list[tuple[int, int, str]]]


def log(client: MlflowClient, run_id: str, metrics: list[tuple[str, int, int, float]]) -> Points:
    points: Points = {}
    batch = []
    for key, step, time_ms, value in metrics:
        batch.append(Metric(key, value, time_ms, step))
        points.setdefault(key, []).append((step, time_ms * 1000, bits(value)))
    for first in range(0, len(batch), 1000):
        client.log_batch(run_id, metrics=batch[first : first + 1000])
    return points


def prepare(uri: str) -> None:
    """Makes an empty store."""
    MlflowClient(uri).search_experiments()


FILES = {
    "model/weights.bin": bytes(range(256)) * 5_000,
    "model/MLmodel": b"a: 1\n",
    "notes æ.txt": b"",
    "plot.png": b"\x89PNG",
}


def log_files(client: MlflowClient, run_id: str, files: dict[str, bytes]) -> dict[str, str]:
    """Logs files, and returns their digests by path."""
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            place = Path(folder, path)
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
        client.log_artifacts(run_id, folder)
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def log_model(client: MlflowClient, experiment: str, run_id: str, content: bytes) -> dict[str, str]:
    """Logs a model as MLflow 3 does, beside the run. Returns the digest of its file by the path that it is to have."""
    model = client.create_logged_model(experiment, name="reader", source_run_id=run_id)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sub").mkdir()
        Path(folder, "sub", "MLmodel").write_bytes(content)
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    return {"sub/MLmodel": hashlib.sha256(content).hexdigest()}


def write(uri: str, rows: int) -> dict[str, Any]:
    """A run that goes on, one in it, one that failed, and what must not be imported. Returns ids and points."""
    client = MlflowClient(uri)
    # Where MLflow puts them by itself, but not below the folder in which this happens to run.
    database = uri.removeprefix("sqlite:///")
    place = None if uri == database else str(Path(database).parent / "mlruns" / "1")
    experiment = client.create_experiment("team/vision", artifact_location=place)
    parent = client.create_run(experiment, start_time=BEGAN_MS, run_name="parent").info.run_id
    params = {"lr": "0.01", "layers": "3", "model": "a: b\n'c'", "augment": "True", "version": "1.10", "big": "1e400"}
    tags = {"mlflow.note.content": "Some *notes*.", "colour": "rød\nand more", "mlflow.user": "somebody"}
    client.log_batch(
        parent,
        params=[Param(key, value) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    curve = [("loss", step, BEGAN_MS + 2 * step, 1 / (step + 1)) for step in range(rows)]
    odd = [
        ("odd/nan", 3, BEGAN_MS, float("nan")),
        ("odd/inf", -7, BEGAN_MS, float("inf")),
        ("odd/inf", 2**40, BEGAN_MS + 1, -float("inf")),
        ("odd/name .-_/x", 0, BEGAN_MS, 0.1),
    ]
    points = {parent: log(client, parent, curve + odd)}
    child = client.create_run(experiment, start_time=BEGAN_MS, tags={"mlflow.parentRunId": parent}).info.run_id
    points[child] = log(client, child, [("loss", 1, BEGAN_MS, 0.5)])
    client.set_terminated(child, "FINISHED", end_time=BEGAN_MS + 5_000)
    failed = client.create_run("0", start_time=BEGAN_MS, run_name="failed").info.run_id
    client.set_terminated(failed, "FAILED", end_time=BEGAN_MS + 60)
    points[failed] = {}
    deleted = client.create_run(experiment, run_name="deleted").info.run_id
    client.delete_run(deleted)
    files = {child: log_files(client, child, FILES)}
    for place, content in (("reader", b"first"), ("reader-2", b"second")):
        logged = log_model(client, experiment, child, content)
        files[child] |= {f"{place}/{path}": digest for path, digest in logged.items()}
    return {"parent": parent, "child": child, "failed": failed, "deleted": deleted, "points": points, "files": files}


def change_files(uri: str, run: str) -> dict[str, str]:
    """Replaces a file of a run by a longer one, and adds one. Returns the digests of both."""
    return log_files(MlflowClient(uri), run, {"model/MLmodel": b"a: 1\nb: 2\n", "late.txt": b"late"})


def grow(uri: str, run: str, rows: int) -> Points:
    """Goes on with a run, and ends it. Some points come late: their time is before that of others."""
    client = MlflowClient(uri)
    late = [("loss", step, BEGAN_MS + 2 * step - 1, -float(step)) for step in range(1, rows, 7)]
    more = [("loss", rows + step, BEGAN_MS + 2 * (rows + step), 0.25) for step in range(rows)]
    new = [("a/new", step, BEGAN_MS, step / 3) for step in range(10)]
    points = log(client, run, late + more + new)
    client.log_param(run, "added", "later")
    client.set_tag(run, "colour", "blue")
    client.set_terminated(run, "FINISHED", end_time=BEGAN_MS + 90_000)
    return points


serve({"prepare": prepare, "write": write, "grow": grow, "change_files": change_files})
