"""The demo: real models train side by side in processes of their own and stream their metrics to the server.

Owns which models are trained, the processes, and what is shown of them. How one trains is in `demo_worker`, which this module
never runs in its own process: scikit-learn takes seconds to import.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from json import loads as parse_json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.failures import ExitStatus
from penstock.cli.output import JsonOption, console, hint, print_json, print_table, say
from penstock.config import resolve
from penstock_local.demo_worker import LoggedModel, WorkerPlan

if TYPE_CHECKING:
    from penstock_local.demo_registry import Registered

__all__ = ["DemoProgress", "DemoRun", "best_run", "demo", "plan_demo", "register", "run_demo"]

EXPERIMENT = "digits"
EPOCHS = 32
SEEDS = (1, 2)
PASSES = 4
PARALLEL_MAX = 4  # each worker holds some 200 MB
QUICK_EPOCHS = 8
STOP_S = 30.0
"""A worker that is told to stop sends what it has for at most 5 s, and is nice: a busy machine lets it wait."""
RUN_CHARS = 12  # of an id in the table, as `penstock run list` shows it
ERROR_LINES = 5  # the end of what a worker that died said

_MODELS: dict[str, dict[str, Any]] = {
    "mlp-small": {"model": "mlp", "hidden": (32,), "solver": "adam", "learning_rate": 3e-4},
    "mlp-wide": {"model": "mlp", "hidden": (256, 128), "solver": "adam", "learning_rate": 3e-4},
    "mlp-momentum": {"model": "mlp", "hidden": (64, 64), "solver": "sgd", "learning_rate": 5e-3},
    "linear": {"model": "linear", "hidden": (), "solver": "sgd", "learning_rate": 1e-3},
}
_QUICK_MODELS = ("mlp-small", "linear")


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """One worker ended an epoch."""

    plan: WorkerPlan
    epoch: int
    validation_accuracy: float


@dataclass(frozen=True, slots=True)
class DemoRun:
    """How the training of one plan ended.

    Attributes:
        plan: What was trained.
        run: The name of the run, None if there is no receipt.
        points_logged: Points that the run logged.
        points_durable: Points that the server has.
        dropped: Points that could not be kept.
        validation_accuracy: After the last epoch.
        validation_loss: After the last epoch.
        validation_correct: Whether each validation image was told right, after the last epoch.
        model: The model after the last epoch, None if the run did not log it.
        problem: What went wrong, None if nothing did.
    """

    plan: WorkerPlan
    run: str | None = None
    points_logged: int = 0
    points_durable: int = 0
    dropped: int = 0
    validation_accuracy: float = 0.0
    validation_loss: float = float("inf")
    validation_correct: tuple[bool, ...] = ()
    model: LoggedModel | None = None
    problem: str | None = None


def plan_demo(
    *, project: str = "default", epochs: int | None = None, seeds: Sequence[int] | None = None, quick: bool = False
) -> list[WorkerPlan]:
    """Returns what the demo trains: every model with every seed.

    Args:
        project: The id of the project to log to.
        epochs: Of each run. By default `EPOCHS`, which takes most of a minute on two cores.
        seeds: One run of each model for each. By default `SEEDS`.
        quick: Fewer models and passes, and by default fewer epochs and one seed: done in seconds.
    """
    if epochs is None:
        epochs = QUICK_EPOCHS if quick else EPOCHS
    if seeds is None:
        seeds = SEEDS[:1] if quick else SEEDS
    names = _QUICK_MODELS if quick else tuple(_MODELS)
    return [
        WorkerPlan(
            project=project,
            experiment=EXPERIMENT,
            name=f"{name}/seed-{seed}",
            seed=seed,
            epochs=epochs,
            passes=1 if quick else PASSES,
            **_MODELS[name],
        )
        for seed in seeds
        for name in names
    ]


async def run_demo(
    plans: Sequence[WorkerPlan], *, watch: Callable[[DemoProgress], None] | None = None
) -> AsyncIterator[DemoRun]:
    """Trains the plans, `PARALLEL_MAX` at a time, each in a process, and yields each as it ends.

    The workers find the server like every client: by the environment, a profile, or `penstock up` on this machine. When the
    iteration is left early or cancelled, workers that still train are told to stop, and end within `STOP_S`.

    Raises `NotConnected` if there is no server to be found.
    """
    resolve()
    slots = asyncio.Semaphore(PARALLEL_MAX)

    async def one(plan: WorkerPlan) -> DemoRun:
        async with slots:
            return await _run_worker(plan, watch or (lambda _: None))

    workers = [asyncio.ensure_future(one(plan)) for plan in plans]
    try:
        for ended in asyncio.as_completed(workers):
            yield await ended
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def best_run(runs: Sequence[DemoRun]) -> DemoRun | None:
    """Returns the run with the best accuracy on the validation images, the one with less loss of equal ones."""
    whole = [run for run in runs if run.problem is None]
    return max(whole, key=lambda run: (run.validation_accuracy, -run.validation_loss), default=None)


async def register(best: DemoRun) -> "Registered | None":
    """Registers the best run's model. None, and a word about it, if that is not allowed here."""
    from penstock.errors import PenstockError
    from penstock_local.demo_registry import register_best

    try:
        return await asyncio.to_thread(register_best, best)
    except PenstockError as error:
        hint(f"The model was not registered: {error}")
        return None


async def _run_worker(plan: WorkerPlan, watch: Callable[[DemoProgress], None]) -> DemoRun:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock_local.demo_worker",
        plan.to_json(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # One thread each: they share the cores among themselves.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        # Ctrl-C reaches this process alone, which then tells each worker once: a second time would cut its flush short.
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.ensure_future(process.stderr.read())
    accuracy, loss = 0.0, float("inf")
    last: dict[str, Any] = {}
    try:
        async for line in process.stdout:
            last = parse_json(line)
            if last["event"] == "epoch":
                accuracy, loss = last["validation_accuracy"], last["validation_loss"]
                watch(DemoProgress(plan, last["epoch"], accuracy))
        status = await process.wait()
    finally:
        await _stop(process)
        words = (await said).decode(errors="replace").strip().splitlines()
    if last.get("event") == "failed":
        return DemoRun(plan, problem=last["message"])
    if last.get("event") != "finished":
        return DemoRun(plan, problem="\n".join([f"The process ended with status {status}.", *words[-ERROR_LINES:]]))
    return DemoRun(
        plan,
        run=last["run"],
        points_logged=last["points_logged"],
        points_durable=last["points_durable"],
        dropped=last["dropped"],
        validation_accuracy=accuracy,
        validation_loss=loss,
        validation_correct=tuple(last["validation_correct"]),
        model=LoggedModel(**last["model"]),
    )


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    if sys.platform == "win32":
        process.terminate()  # Windows has no interrupt for one process
    else:
        process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def demo(
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs of each run.")] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Numbers separated by commas: each model is trained once with each.")
    ] = None,
    project: Annotated[str, typer.Option("--project", help="The project to log to.")] = "default",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer models and epochs: done in seconds.")] = False,
    json: JsonOption = False,
) -> None:
    """Train real models side by side, and stream their metrics live.

    Each run logs its trained model as a file of skops. The best one is registered as a version of `digits-reader`, and if it
    passes the gate, `production` is moved to it.
    With --json, one document per run, and a last one with `best_run`, and what became of it in the registry.

    \b
    Example:
      penstock demo --seeds 1,2,3
    """
    plans = plan_demo(project=project, epochs=epochs, seeds=_parse_seeds(seeds), quick=quick)
    from penstock.client import Client

    with Client() as client:
        client.whoami()  # a server that cannot be reached is better told now than by every worker
    try:
        runs = asyncio.run(_show_json(plans) if json else _show(plans))
    except KeyboardInterrupt:
        hint("Stopped. The runs end as killed, and keep what they logged.")
        raise
    if any(run.problem is not None or run.dropped or run.points_durable < run.points_logged for run in runs):
        raise typer.Exit(ExitStatus.FAILED)


def _parse_seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 1,2,3", param_hint="--seeds") from None
    if any(not 0 <= seed < 2**32 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise typer.BadParameter("seeds are different numbers from 0 to 4294967295", param_hint="--seeds")
    return seeds


async def _show_json(plans: Sequence[WorkerPlan]) -> list[DemoRun]:
    runs: list[DemoRun] = []
    async for run in run_demo(plans):
        runs.append(run)
        if run.problem is not None:
            hint(f"{run.plan.name}: {run.problem}")
            continue
        print_json(
            {
                "run": run.run,
                "name": run.plan.name,
                "points_logged": run.points_logged,
                "points_durable": run.points_durable,
                "dropped": run.dropped,
                "validation_accuracy": run.validation_accuracy,
            }
        )
    best = best_run(runs)
    registered = None if best is None else await register(best)
    print_json(
        {
            "best_run": None if best is None else best.run,
            "version": None if registered is None else registered.version,
            "passed": registered is not None and registered.passed,
            "promoted": registered is not None and registered.promoted,
        }
    )
    return runs


async def _show(plans: Sequence[WorkerPlan]) -> list[DemoRun]:
    # Here, because `penstock --help` needs none of it.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    say(f"Training {len(plans)} models, {min(PARALLEL_MAX, len(plans))} at a time. Watch them at {resolve().http}")
    runs: list[DemoRun] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("validation accuracy {task.fields[accuracy]:.3f}"),
    )
    terminal = console()
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        bars = {plan.name: progress.add_task(plan.name, total=plan.epochs, accuracy=0.0) for plan in plans}

        def watch(step: DemoProgress) -> None:
            progress.update(bars[step.plan.name], completed=step.epoch, accuracy=step.validation_accuracy)

        async for run in run_demo(plans, watch=watch):
            runs.append(run)
            if run.problem is not None:
                hint(f"{run.plan.name}: {run.problem}")

    whole = sorted((run for run in runs if run.problem is None), key=lambda run: -run.validation_accuracy)
    print_table(
        ["RUN", "MODEL", "ACCURACY", "LOGGED", "DURABLE", "DROPPED"],
        [
            (
                str(run.run).rsplit("/", 1)[-1][:RUN_CHARS],
                run.plan.name,
                f"{run.validation_accuracy:.3f}",
                run.points_logged,
                run.points_durable,
                run.dropped,
            )
            for run in whole
        ],
        numbers=("ACCURACY", "LOGGED", "DURABLE", "DROPPED"),
    )
    best = best_run(runs)
    if best is not None:
        say(f"Best run: {best.plan.name} with validation accuracy {best.validation_accuracy:.3f}, {best.run}")
        registered = await register(best)
        if registered is not None:
            say(registered.sentence)
    return runs
