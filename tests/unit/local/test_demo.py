"""What the demo trains, which run it calls the best, and how it says what went wrong."""

import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from penstock.errors import NotConnected
from penstock_local.demo import DemoRun, best_run, demo, plan_demo, run_demo
from penstock_local.demo_worker import WorkerPlan, epochs_of


def cli() -> typer.Typer:
    app = typer.Typer()
    app.command()(demo)
    return app


def test_every_model_with_every_seed() -> None:
    plans = plan_demo(epochs=3, seeds=[1, 2, 3], project="vision")
    assert len({plan.name for plan in plans}) == len(plans) == 12
    assert {(plan.project, plan.epochs) for plan in plans} == {("vision", 3)}
    assert {plan.seed for plan in plans} == {1, 2, 3}
    assert len(plan_demo(quick=True)) == 2


def test_a_plan_goes_over_the_command_line() -> None:
    for plan in plan_demo():
        assert WorkerPlan.from_json(plan.to_json()) == plan


def test_the_best_run() -> None:
    plan = plan_demo()[0]
    runs = [
        DemoRun(plan, run="worse", validation_accuracy=0.90, validation_loss=0.1),
        DemoRun(plan, run="more loss", validation_accuracy=0.95, validation_loss=0.4),
        DemoRun(plan, run="best", validation_accuracy=0.95, validation_loss=0.3),
        DemoRun(plan, validation_accuracy=0.99, problem="died"),
    ]
    assert best_run(runs) == runs[2]
    assert best_run(runs[3:]) is None
    assert best_run([]) is None


@pytest.mark.parametrize("model", ["mlp-small", "linear"])
def test_a_model_really_learns_and_a_seed_repeats_it(model: str) -> None:
    plan = next(plan for plan in plan_demo(quick=True, epochs=4) if plan.name.startswith(model))
    made = list(epochs_of(plan))
    epochs = [epoch.metrics for epoch in made]
    assert len(epochs) == 4
    assert set(epochs[0]) == {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy"}
    assert epochs[-1]["train/loss"] < epochs[0]["train/loss"]
    assert epochs[-1]["validation/loss"] < epochs[0]["validation/loss"]
    assert all(0 <= metrics["validation/accuracy"] <= 1 for metrics in epochs)
    correct = made[-1].correct
    assert sum(correct) / len(correct) == pytest.approx(epochs[-1]["validation/accuracy"])
    assert [epoch[:2] for epoch in epochs_of(plan)] == [epoch[:2] for epoch in made]


@pytest.mark.parametrize("arguments", [["--seeds", "one"], ["--seeds", "1,1"], ["--seeds", "-1"], ["--epochs", "0"]])
def test_wrong_options_are_usage_errors(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli(), arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


async def test_without_a_server_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    with pytest.raises(NotConnected, match="penstock up"):
        await anext(run_demo(plan_demo(quick=True)))


async def test_a_worker_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:9")
    plans = plan_demo(quick=True, project="Not A Project")
    runs = [run async for run in run_demo(plans)]
    assert len(runs) == 2
    for run in runs:
        assert run.problem is not None
        assert "project" in run.problem
        assert "Traceback" not in run.problem
    assert best_run(runs) is None
