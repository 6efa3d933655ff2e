"""`penstock demo`: real models train in real processes, and everything they log is on the server."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import skops.io
from support.platform import PENSTOCK, Platform, running_platform
from support.training import eventually

from penstock.api.artifact.v1 import artifact_pb2
from penstock.api.registry.v1 import model_pb2
from penstock.api.tracking.v1 import run_pb2
from penstock.client import Client
from penstock.config import Connection
from penstock_local.demo import DemoProgress, plan_demo, run_demo
from penstock_local.demo_worker import MODEL_FILE, WorkerPlan, digits

METRICS = ["train/loss", "train/accuracy", "validation/loss", "validation/accuracy"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with Client(Connection(platform.http, platform.grpc, platform.token, "test")) as client:
        yield client


def demo(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(PENSTOCK), "demo", *arguments]
    return subprocess.run(command, env=platform.env, capture_output=True, text=True, timeout=120)


def test_json_names_each_run_its_receipt_and_the_best(platform: Platform, client: Client, tmp_path: Path) -> None:
    ended = demo(platform, "--quick", "--epochs", "3", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    *runs, last = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(runs) == 2
    best = max(runs, key=lambda run: run["validation_accuracy"])
    assert last["best_run"] == best["run"]
    # The best is a version of a model, judged by a gate; the first that is good enough becomes `production`.
    version = client.model_version(last["version"])
    assert (version.run, len(version.metrics[0].samples) > 100) == (best["run"], True)
    (verdict,) = client.verdicts("digits-reader", version=version.number)
    assert (verdict.passed, verdict.passed) == (last["passed"], last["promoted"])
    assert last["passed"] == (best["validation_accuracy"] >= 0.8)
    assert ("production" in version.aliases) == last["promoted"]
    check_model(client, version, tmp_path)
    for run in runs:
        (link,) = client.artifact_links(run=run["run"])
        assert link.kind == artifact_pb2.ARTIFACT_LINK_KIND_WRITTEN
        assert run["points_logged"] == run["points_durable"] >= 3 * len(METRICS)
        assert run["dropped"] == 0
        stored = client.run(run["run"])
        assert stored.display_name == run["name"]
        latest = {metric["key"]: metric for metric in rows(client.latest(run["run"], keys=METRICS))}
        assert sorted(latest) == sorted(METRICS)
        assert latest["validation/accuracy"]["value"] == run["validation_accuracy"]
        points = rows(client.history(run["run"], keys=METRICS))
        assert sorted((point["key"], point["step"]) for point in points) == sorted(
            (key, step) for key in METRICS for step in (1, 2, 3)
        )


def check_model(client: Client, version: model_pb2.ModelVersion, folder: Path) -> None:
    """Loads the file that a version names, and has it tell the validation images again."""
    assert version.artifact_manifest == client.artifact_version(version.artifact_version).manifest
    (flavor,) = version.flavors
    assert (flavor.name, flavor.options["file"]) == ("skops", MODEL_FILE)
    (file,) = client.get_artifact(version.artifact_version, folder)
    assert (file.name, file.stat().st_size) == (MODEL_FILE, version.size_bytes)
    # Whoever loads it names the types that it may have beside those that skops trusts by itself.
    trusted = [name for name in skops.io.get_untrusted_types(file=file) if name.startswith("sklearn.neural_network.")]
    model = skops.io.load(file, trusted=trusted)
    _, validation_x, _, validation_y = digits()
    assert (model.predict(validation_x) == validation_y).mean() == pytest.approx(version.metrics[0].value)


def test_text_ends_with_a_table_and_the_best_run(platform: Platform) -> None:
    ended = demo(platform, "--quick", "--epochs", "2")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Training 2 models" in ended.stdout
    assert platform.http in ended.stdout
    assert "DURABLE" in ended.stdout
    assert "Best run: " in ended.stdout
    assert "Registered digits-reader/" in ended.stdout.splitlines()[-1]


async def test_leaving_early_stops_the_workers(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PENSTOCK_HOME", "PENSTOCK_URL", "PENSTOCK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(platform.home))
    plans = plan_demo(quick=True, epochs=1_000_000, seeds=[77])
    training: list[WorkerPlan] = []
    all_train = asyncio.Event()

    def watch(step: DemoProgress) -> None:
        if step.plan not in training:
            training.append(step.plan)
        if len(training) == len(plans):
            all_train.set()

    running = asyncio.ensure_future(anext(run_demo(plans, watch=watch)))
    await all_train.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(is_worker(child) for child in psutil.Process().children())

    def left() -> list[run_pb2.Run]:
        return [run for run in client.runs("projects/default") if run.display_name.endswith("-77")]

    assert len(left()) == len(plans) == 2
    # Their senders say so, which go on for a moment.
    eventually(lambda: {run.state for run in left()} == {run_pb2.RUN_STATE_KILLED}, "that both were killed")


def is_worker(process: psutil.Process) -> bool:
    try:
        return "penstock_local.demo_worker" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False  # gone, or nothing but an exit code: it works no more


def rows(found: Any) -> list[dict[str, Any]]:
    return found.to_arrow().to_pylist()
