"""Where callbacks log: which run, under which names, and what is left out instead of ending a training."""

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.spools import spool_points

import penstock
from penstock.errors import InvalidInput, InvalidType, RunFinished
from penstock.integrations.target import Target
from penstock.run import Run, active_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("PENSTOCK_PROJECT", "PENSTOCK_RUN_ID", "PENSTOCK_EXPERIMENT", "RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    yield tmp_path
    penstock.finish()


OFFLINE: dict[str, Any] = {"mode": "offline", "system_metrics": False, "capture": False}


def points_of(run: Run) -> list[tuple[str, int, float]]:
    run.finish()
    folder = run.spool_folder
    assert folder is not None
    return sorted((key, step, float.fromhex(value)) for key, step, value in spool_points(folder).elements())


def params_of(run: Run) -> dict[str, Any]:
    return dict(run.config.to_dict())


def test_only_numbers_are_logged() -> None:
    run = penstock.init(**OFFLINE)
    values = {"a": 1, "b": np.float32(0.5), "c": True, "text": "1.0", "none": None, "list": [1], "array": np.ones(1)}
    Target(None).log(values | {"too great": 10**400}, 7)
    Target(None).log({"text": "nothing else"}, 8)
    assert points_of(run) == [("a", 7, 1.0), ("b", 7, 0.5), ("c", 7, 1.0)]


def test_a_prefix_goes_before_every_name() -> None:
    run = penstock.init(**OFFLINE)
    target = Target(None, "fold-1/")
    target.log({"loss": 0.5}, 0)
    target.set_params({"lr": 0.1, "layers": {"first": {0: 8}}}, "model/")
    target.set_summary({"best": 3})
    target.define_goal("loss", "minimize")
    target.define_goal("loss", "minimize")
    assert dict(run.summary) == {"fold-1/best": 3}
    assert params_of(run) == {"fold-1": {"model": {"lr": 0.1, "layers": {"first": {"0": 8}}}}}
    assert points_of(run) == [("fold-1/loss", 0, 0.5)]


def test_params_that_the_run_has_stay() -> None:
    run = penstock.init(config={"lr": 1, "model": {"depth": 2}}, **OFFLINE)
    Target(None).set_params({"lr": 0.1, "model": {"depth": 3, "width": 4}})
    assert params_of(run) == {"lr": 1, "model": {"depth": 2, "width": 4}}


def test_what_is_wrong_with_a_value_ends_no_training_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    run = penstock.init(**OFFLINE)
    target = Target(None)
    for _ in range(2):
        target.set_params({"text": "x" * 8_001, "after": 1, "table": {None: 1}})
        target.set_summary({"text": "x" * 8_001, "after": 2})
        target.log({"k" * 251: 1.0}, 0)
        target.log({"after": 3.0}, 0)
    assert (params_of(run), dict(run.summary)) == ({"after": 1}, {"after": 2})
    assert points_of(run) == [("after", 0, 3.0)] * 2
    said = [line for line in capsys.readouterr().err.splitlines() if "was not recorded" in line]
    assert [line.removeprefix("penstock: ").partition(" was not")[0] for line in said] == [
        "The param text",
        "The param table",
        "The summary entry text",
        "A row of metrics",
    ]
    assert "8,001 characters, at most 8,000 are allowed" in said[0]


def test_a_model_that_cannot_be_sent_ends_no_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    penstock.init(mode="disabled")
    saved: list[Path] = []
    Target(None).log_model("a/b", "model.bin", lambda path: saved.append(path) or path.write_bytes(b"1"))
    assert saved[0].name == "model.bin"
    assert not saved[0].exists()
    assert "The model was not recorded: 'a/b' is not an artifact" in capsys.readouterr().err


def test_the_run_that_is_given_goes_before_the_one_that_is_going_on() -> None:
    given = penstock.init(**OFFLINE)
    target = Target(given)
    target.log({"loss": 1.0}, 0)
    given.finish()
    other = penstock.init(**OFFLINE)
    target.log({"loss": 2.0}, 1)  # too late, which is said
    Target(None).log({"loss": 3.0}, 2)
    assert points_of(given) == [("loss", 0, 1.0)]
    assert points_of(other) == [("loss", 2, 3.0)]


def test_without_a_run_it_says_so() -> None:
    with pytest.raises((InvalidInput, RunFinished), match=r"penstock\.init"):
        Target(None).log({"loss": 1.0}, 0)
    with pytest.raises(InvalidType, match="Run"):
        Target("run")  # type: ignore[arg-type]  # this is the point


def test_it_starts_a_run_if_it_may_and_finishes_only_that() -> None:
    target = Target(None, init={"project": "reader", **OFFLINE})
    assert active_run() is None, "a run was started before something was logged"
    target.log({"loss": 1.0}, 0)
    started = active_run()
    assert started is not None
    assert (started.project, target.run) == ("reader", started)
    target.finish_own()
    assert started.finished

    mine = penstock.init(**OFFLINE)
    target = Target(None, init={"project": "reader"})
    target.log({"loss": 1.0}, 0)
    target.finish_own()
    assert not mine.finished
    with pytest.raises(InvalidInput, match="project"):
        Target(mine, init={"project": "reader"})


def test_a_copy_in_another_process_logs_nothing() -> None:
    run = penstock.init(**OFFLINE)
    pickled = pickle.loads(pickle.dumps(Target(run, "p/")))
    pickled.log({"loss": 1.0}, 0)
    pickled.set_params({"lr": 1})
    pickled.set_summary({"best": 1})
    pickled.define_goal("loss", "minimize")
    pickled.log_model("net", "model", lambda path: pytest.fail("a model was saved"))
    target = Target(run, "p/")
    assert copy.deepcopy(target) is target
    assert (params_of(run), dict(run.summary)) == ({}, {})
    assert points_of(run) == []


def test_a_copy_that_is_to_start_the_run_starts_it() -> None:
    # Lightning pickles its loggers into the processes of its ranks.
    pickled = pickle.loads(pickle.dumps(Target(None, init={"project": "reader", **OFFLINE})))
    pickled.log({"loss": 1.0}, 0)
    started = active_run()
    assert started is not None
    assert points_of(started) == [("loss", 0, 1.0)]
