"""The API of a training process, without a server: offline and disabled runs, and what is refused."""

import argparse
import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.spools import batches_of, decoded, spool_points

import penstock
from penstock.errors import InvalidInput, InvalidType, NotConnected, RunFinished
from penstock.run import Run
from penstock.spool.meta import SpoolMeta

FOREIGN = ("URL", "TOKEN", "PROFILE", "MODE", "PROJECT", "EXPERIMENT", "RUN_ID", "CAPTURE")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in FOREIGN:
        monkeypatch.delenv(f"PENSTOCK_{name}", raising=False)
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    yield tmp_path
    penstock.finish()


def offline(**arguments: Any) -> Run:
    return penstock.init(**({"mode": "offline", "system_metrics": False, "capture": False} | arguments))


def content_of(run: Run) -> Any:
    folder = run.spool_folder
    assert folder is not None
    (content,) = decoded(batches_of(folder))
    return content


def test_whole_numbers_may_be_keys() -> None:
    # A table of labels, as transformers have it in their configuration.
    with offline(config={"id2label": {0: "cat", 1: "dog"}}) as run:
        for _ in range(2):  # also when the names are known
            run.log({"recall": {0: 0.5, 1: 0.25}, 7: 1.0})
        assert run.config == {"id2label": {"0": "cat", "1": "dog"}}
        assert run.config.id2label[0] == "cat"
    assert {point[0] for point in spool_points(run.spool_folder)} == {"recall/0", "recall/1", "7"}


def test_ranks_and_resumed_runs_have_one_made_up_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with offline(id="0123456789abcdef" * 2) as run:
            names.add(run.name)
    assert len(names) == 1
    with offline() as another:
        assert another.name not in names


def test_a_run_in_a_pickle_says_how_to_join_it() -> None:
    with offline() as run, pytest.raises(TypeError, match=f'penstock.init\\(id="{run.id}"'):
        pickle.dumps(run)


def test_an_offline_run_keeps_everything(home: Path) -> None:
    with offline(
        project="digits",
        experiment="sweep",
        name="first",
        notes="why",
        group="job-7",
        config={"lr": 0.1, "model": {"depth": 3, "name": "cnn"}},
        tags={"team": "vision"},
    ) as run:
        assert penstock.active_run() is run
        run.log({"train/loss": 0.5})
        penstock.log({"train/loss": 0.25})
        run["train/accuracy"].append(0.9, step=1)
        run.summary["best"] = 0.25
        run.tags.add("baseline")
        run.define_metric("train/loss", goal="minimize", summary="min")
    assert penstock.active_run() is None
    receipt = run.finish()
    assert (receipt.points_logged, receipt.points_durable, receipt.dropped, receipt.state) == (3, 0, 0, "FINISHED")
    assert not receipt.verified
    assert not receipt.complete
    assert run.spool_folder is not None
    meta = SpoolMeta.read(run.spool_folder)
    assert (meta.project, meta.experiment, meta.display_name, meta.notes, meta.group) == (
        "digits",
        "sweep",
        "first",
        "why",
        "job-7",
    )
    assert (run.id, run.name, run.project, run.url) == (meta.run_id, "first", "digits", None)
    content = content_of(run)
    assert {param.key for param in content.params} == {"lr", "model/depth", "model/name"}
    assert {tag.key: tag.value for tag in content.tags} == {"team": "vision", "baseline": ""}
    assert [entry.key for entry in content.summary] == ["best"]
    assert sum(spool_points(run.spool_folder).values()) == 3
    assert not (run.spool_folder / "connection.json").exists()


def test_a_disabled_run_keeps_nothing(home: Path) -> None:
    run = penstock.init(mode="disabled", config={"lr": 1})
    run.log({"a": 1.0})
    with pytest.raises(InvalidType):
        run.log({"a": "text"})
    assert run.spool_folder is None
    assert run.finish().points_logged == 1
    assert list(home.iterdir()) == []


def test_after_finish(home: Path) -> None:
    run = offline()
    receipt = run.finish("failed")
    assert receipt.state == "FAILED"
    assert run.finish() == receipt
    for call in (
        lambda: run.log({"a": 1.0}),
        lambda: run.summary.update(a=1),
        lambda: run.config.update({"a": 1}),
        lambda: run.tags.add("a"),
        lambda: run.define_metric("a"),
    ):
        with pytest.raises(RunFinished, match="finished"):
            call()
    with pytest.raises(RunFinished, match=f"{run.name} is finished"):
        penstock.log({"a": 1.0})


def test_a_receipt_is_printed_as_a_line_for_people(home: Path) -> None:
    with offline(project="digits") as run:
        for step in range(1500):
            run.log({"a": 1.0}, step=step)
    receipt = run.finish()
    assert str(receipt) == (
        f"projects/digits/runs/{run.id} FINISHED: 1,500 points logged, 0 durable on the server, not verified"
    )
    assert repr(receipt).startswith("Receipt(run=")
    sent = replace(receipt, points_durable=1500, dropped=2, verified=True)
    assert str(sent).endswith(": 1,500 points logged, all durable on the server, 2 dropped, verified")


def test_a_second_init_finishes_the_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = offline(name="one")
    second = offline(name="two")
    assert first.finished
    assert penstock.active_run() is second
    assert "run one was still going on" in capsys.readouterr().err


def test_an_exception_in_the_block_fails_the_run(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), offline() as run:
        run.log({"a": 1 / 0})
    assert run.spool_folder is not None
    finish = batches_of(run.spool_folder)[-1].finish
    assert finish is not None
    assert finish["state"] == "FAILED"
    assert finish["failure"].rstrip().endswith("ZeroDivisionError: division by zero")


def test_a_long_error_is_cut_to_its_end(home: Path) -> None:
    with pytest.raises(ValueError), offline() as run:
        raise ValueError("x" * 20_000 + "\ud800 the end")
    assert run.spool_folder is not None
    finish = batches_of(run.spool_folder)[-1].finish
    assert finish is not None
    assert len(finish["failure"]) == 8_000
    assert finish["failure"].rstrip().endswith("the end")


@pytest.mark.parametrize(("code", "state"), [(None, "FINISHED"), (0, "FINISHED"), (1, "FAILED"), ("bad", "FAILED")])
def test_leaving_by_sys_exit(home: Path, code: Any, state: str) -> None:
    with pytest.raises(SystemExit), offline() as run:
        raise SystemExit(code)
    assert run.finish().state == state


def test_ctrl_c_in_the_block_kills_the_run(home: Path) -> None:
    with pytest.raises(KeyboardInterrupt), offline() as run:
        raise KeyboardInterrupt
    assert run.finish().state == "KILLED"


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"project": "My Project"}, InvalidInput, "'my-project'"),
        ({"project": "x" * 64}, InvalidInput, "1 to 63"),
        ({"project": "a-"}, InvalidInput, "id of a project"),
        ({"project": 5}, InvalidType, "project"),
        ({"id": "short"}, InvalidInput, "32 hex digits"),
        ({"name": "n" * 501}, InvalidInput, "name has 501"),
        ({"notes": "n" * 100_001}, InvalidInput, "notes"),
        ({"group": "g" * 251}, InvalidInput, "group"),
        ({"experiment": "e" * 501}, InvalidInput, "experiment"),
        ({"mode": "fast"}, InvalidInput, "mode"),
        ({"resume": "maybe"}, InvalidInput, "resume"),
        ({"resume": "must"}, InvalidInput, "needs the id"),
        ({"fork": "abc"}, InvalidType, "pair"),
        ({"fork": ("a" * 32, 1.5)}, InvalidType, "step"),
        ({"fork": ("x", 1)}, InvalidInput, "fork"),
        ({"config": [1]}, InvalidType, "config"),
        ({"config": {1.5: 2}}, InvalidType, "param"),
        ({"config": {"a": "x" * 8001}}, InvalidInput, "'a'"),
        ({"tags": "baseline"}, InvalidType, "tags"),
        ({"strict": "yes"}, InvalidType, "strict"),
        ({"system_metrics": 0.5}, InvalidInput, "at least 1"),
        ({"system_metrics": "often"}, InvalidType, "system_metrics"),
    ],
)
def test_wrong_arguments_leave_no_run_behind(home: Path, arguments: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        offline(**arguments)
    assert penstock.active_run() is None
    assert not list(home.glob("spool/*/*"))


@pytest.mark.parametrize("step", [1.0, "1", True, [1]])
def test_steps_that_are_no_whole_number(home: Path, step: Any) -> None:
    run = offline()
    with pytest.raises(InvalidType, match="step"):
        run.log({"a": 1.0}, step=step)


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1])
def test_steps_beyond_int64(home: Path, step: int) -> None:
    run = offline()
    with pytest.raises(InvalidInput, match="int64"):
        run.log({"a": 1.0}, step=step)
    run.log({"a": 1.0}, step=np.int64(2**63 - 1))  # type: ignore[bad-argument-type]  # behaves as an int
    run.log({"a": 1.0}, step=-(2**63))
    assert run.finish().points_logged == 2


def test_counting_goes_on_after_the_greatest_step(home: Path) -> None:
    run = offline()
    run.log({"a": 1.0}, step=2**63 - 1)
    for _ in range(2):
        with pytest.raises(InvalidInput, match=r"log\(\{\.\.\.\}, step=0\)"):
            run.log({"a": 1.0})
    run.log({"a": 1.0}, step=7)
    run.log({"a": 1.0})
    run.finish()
    assert sorted(point[1] for point in spool_points(run.spool_folder)) == [7, 8, 2**63 - 1]


def test_params_are_written_once(home: Path) -> None:
    run = offline(config={"lr": 0.1, "nan": math.nan})
    run.config["lr"] = 0.1
    run.config.update({"nan": math.nan, "layers": [1, 2], "none": None, "path": Path("/x"), "np": np.float32(0.5)})
    assert run.config["np"] == 0.5
    assert run.config["layers"] == [1, 2]
    with pytest.raises(InvalidInput, match=r"'lr' is 0\.1 already"):
        run.config.update({"fresh": 1, "lr": 0.2})
    assert "fresh" not in run.config
    with pytest.raises(InvalidInput):
        run.config["lr"] = "0.1"
    run.finish()
    kinds = {param.key: param.value.WhichOneof("kind") for param in content_of(run).params}
    assert kinds == {
        "lr": "double_value",
        "nan": "double_value",
        "layers": "json_value",
        "none": "json_value",
        "path": "string_value",
        "np": "double_value",
    }


def test_config_is_read_by_attribute_and_as_it_was_given(home: Path) -> None:
    layers = [64, {"size": (3, 3)}]
    run = offline(config={"lr": 0.1, "layers": layers, "none": None, "model": {"depth": 3, "head": {"bias": True}}})
    layers.append(0)
    run.config.layers.append(1)
    assert (run.config.lr, run.config.layers, run.config.none) == (0.1, [64, {"size": (3, 3)}], None)
    assert run.config.model.head.bias is run.config["model"]["head"]["bias"] is run.config["model/head/bias"] is True
    assert list(run.config) == ["lr", "layers", "none", "model"]
    assert len(run.config.model) == 2
    assert run.config.model == {"depth": 3, "head": {"bias": True}}
    assert "width" not in run.config.model
    assert {"lr", "model"} <= set(dir(run.config))
    run.config.seed = 7
    run.config.model.width = 8
    assert run.config.model.to_dict() == {"depth": 3, "head": {"bias": True}, "width": 8}
    assert repr(run.config.model) == "Config({'depth': 3, 'head': {'bias': True}, 'width': 8})"
    copied = pickle.loads(pickle.dumps(run.config.model))
    assert type(copied) is dict
    assert copied == run.config.model
    with pytest.raises(InvalidInput, match="'model/depth' is 3 already"):
        run.config.model.depth = 4
    with pytest.raises(InvalidInput, match="by its key"):
        run.config.items = 1  # type: ignore[bad-assignment]  # that is what is refused
    with pytest.raises(AttributeError, match="no param 'model/hight'"):
        _ = run.config.model.hight
    with pytest.raises(KeyError):
        _ = run.config["model"]["hight"]
    run.finish()
    params = {param.key: param.value for param in content_of(run).params}
    assert set(params) == {"lr", "layers", "none", "model/depth", "model/head/bias", "seed", "model/width"}
    assert json.loads(params["layers"].json_value) == [64, {"size": [3, 3]}]


@dataclass
class Optimizer:
    name: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(slots=True)
class Settings:
    lr: float = 0.1
    optimizer: Optimizer = field(default_factory=Optimizer)


class Plain:
    def __init__(self) -> None:
        self.lr = 0.1
        self.optimizer = Optimizer()
        self._cache = object()


@pytest.mark.parametrize(
    "given",
    [
        {"lr": 0.1, "optimizer": Optimizer()},
        argparse.Namespace(lr=0.1, optimizer=argparse.Namespace(name="adam", betas=(0.9, 0.999))),
        SimpleNamespace(lr=0.1, optimizer={"name": "adam", "betas": (0.9, 0.999)}),
        Settings(),
        Plain(),
    ],
    ids=lambda given: type(given).__name__,
)
def test_config_takes_what_has_names_and_values(home: Path, given: Any) -> None:
    run = offline(config=given)
    run.config.update(given)
    assert run.config.optimizer.betas == (0.9, 0.999)
    assert run.config == {"lr": 0.1, "optimizer": {"name": "adam", "betas": (0.9, 0.999)}}
    run.finish()
    assert {param.key for param in content_of(run).params} == {"lr", "optimizer/name", "optimizer/betas"}


@pytest.mark.parametrize(
    "given", [[1], "lr", 5, Settings, object(), print, json, Exception()], ids=lambda given: type(given).__name__
)
def test_config_takes_nothing_else(home: Path, given: Any) -> None:
    with pytest.raises(InvalidType, match="config must be"):
        offline(config=given)
    assert not list(home.glob("spool/*/*"))
    with offline(config=argparse.Namespace()) as run:
        assert run.config == {}


def test_config_that_holds_itself_ends_in_an_error(home: Path) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(InvalidInput, match="nested deeper"):
        offline(config=loop)
    items: list[Any] = []
    items.append(items)
    with offline(config={"items": items}) as run:
        assert "items" in run.config


def test_tags_and_summary_change(home: Path) -> None:
    run = offline(tags=["a", "b"])
    run.tags["team"] = "x"
    del run.tags["a"]
    run.summary["s"] = 1
    run.summary["s"] = 2.5
    run.summary["nested"] = {"x": 1}
    with pytest.raises(InvalidInput, match="penstock"):
        run.tags["penstock.python"] = "2"
    with pytest.raises(InvalidInput):
        del run.summary["s"]
    assert dict(run.summary) == {"s": 2.5, "nested/x": 1}
    run.finish()
    content = content_of(run)
    assert {tag.key for tag in content.tags} == {"b", "team"}
    assert list(content.removed_tags) == ["a"]


@pytest.mark.parametrize("arguments", [{"goal": "up"}, {"summary": "mean"}, {"x": ""}])
def test_wrong_metric_definitions(home: Path, arguments: Any) -> None:
    run = offline()
    with pytest.raises(InvalidInput):
        run.define_metric("loss", **arguments)


def test_the_environment_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_MODE", "offline")
    monkeypatch.setenv("PENSTOCK_PROJECT", "from-environment")
    monkeypatch.setenv("PENSTOCK_EXPERIMENT", "sweep")
    monkeypatch.setenv("PENSTOCK_RUN_ID", "c" * 32)
    run = penstock.init(system_metrics=False)
    assert (run.mode, run.project, run.id) == ("offline", "from-environment", "c" * 32)
    monkeypatch.setenv("PENSTOCK_MODE", "fast")
    with pytest.raises(InvalidInput, match="mode"):
        penstock.init()


@pytest.mark.parametrize(
    ("environment", "given_id", "rank", "primary"),
    [
        ({"RANK": "3"}, "d" * 32, 3, False),
        ({"RANK": "0"}, "d" * 32, 0, True),
        ({"SLURM_PROCID": "2"}, "d" * 32, 2, False),
        ({"RANK": "3"}, None, 3, True),
        ({"RANK": "many"}, "d" * 32, 0, True),
    ],
)
def test_ranks(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    given_id: str | None,
    rank: int,
    primary: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = offline(id=given_id)
    run.log({"a": 1.0})
    run.finish()
    assert run.spool_folder is not None
    meta = SpoolMeta.read(run.spool_folder)
    assert (meta.rank, meta.primary) == (rank, primary)
    finish = batches_of(run.spool_folder)[-1].finish
    assert finish is not None
    # The others only close their writer.
    assert finish["state"] == ("FINISHED" if primary else "")


@pytest.mark.parametrize(
    ("environment", "arguments", "hints"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2"}, {}, 1),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, {}, 1),
        ({"RANK": "0", "WORLD_SIZE": "2"}, {}, 0),
        ({"RANK": "2", "WORLD_SIZE": "4"}, {}, 0),
        ({"RANK": "1", "WORLD_SIZE": "2"}, {"id": "d" * 32}, 0),
        ({"RANK": "1", "WORLD_SIZE": "2"}, {"mode": "disabled"}, 0),
        ({"RANK": "1", "WORLD_SIZE": "many"}, {}, 0),
        ({"RANK": "1"}, {}, 0),
    ],
)
def test_ranks_without_a_common_id_are_told_once_how_to_share_one(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    arguments: dict[str, Any],
    hints: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    offline(**arguments)
    assert capsys.readouterr().err.count("PENSTOCK_RUN_ID") == hints


def test_a_fork_goes_on_from_its_step(home: Path) -> None:
    first = offline(project="digits")
    run = offline(project="digits", fork=(first, 41))
    run.log({"a": 1.0})
    run.finish()
    assert run.spool_folder is not None
    meta = SpoolMeta.read(run.spool_folder)
    assert (meta.forked_from, meta.fork_step) == (first.resource_name, 41)
    assert next(iter(spool_points(run.spool_folder)))[1] == 42


def test_without_a_server_a_run_is_kept_and_that_is_said_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = penstock.init(system_metrics=False, capture=False)
    run.log({"a": 1.0})
    receipt = run.finish()
    said = capsys.readouterr().err
    assert said.count("No Penstock server found") == 1
    assert "penstock sync" in said
    assert (receipt.points_logged, receipt.points_durable) == (1, 0)
    assert run.spool_folder is not None
    assert sum(spool_points(run.spool_folder).values()) == 1


def test_resume_must_needs_a_server(home: Path) -> None:
    with pytest.raises(NotConnected):
        penstock.init(id="a" * 32, resume="must")


def test_capture_and_its_switch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = offline(capture=True)
    run.finish()
    tags = {tag.key for tag in content_of(run).tags}
    assert {"penstock.python", "penstock.host"} <= tags
    monkeypatch.setenv("PENSTOCK_CAPTURE", "0")
    silent = offline(capture=True)
    silent.finish()
    assert silent.spool_folder is not None
    assert batches_of(silent.spool_folder)[0].content == b""


def test_a_spool_that_cannot_be_made(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "spool").write_text("in the way")
    run = offline()
    run.log({"a": 1.0, "b": 2.0})
    receipt = run.finish()
    assert (receipt.points_logged, receipt.dropped) == (0, 2)
    assert "cannot be made" in capsys.readouterr().err
    with pytest.raises(OSError, match="cannot be made"):
        offline(strict=True)
