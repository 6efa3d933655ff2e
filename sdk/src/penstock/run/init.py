"""`penstock.init`, and the functions that mean the run it started."""

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from penstock.capture import captured_process
from penstock.config import Connection, home, resolve
from penstock.errors import InvalidInput, InvalidType, NotConnected, PenstockError
from penstock.run.active import activate, active_run, install_hooks, needed_run
from penstock.run.messages import say
from penstock.run.monitor import SYSTEM_METRICS_INTERVAL_S
from penstock.run.receipt import Receipt
from penstock.run.run import Run, RunOptions
from penstock.run.sender_process import ask_about_run, start_adoption
from penstock.spool.locks import sender_is_alive
from penstock.spool.meta import META_FILE, SpoolMeta, read_receipt
from penstock.spool.names import checked_project, checked_run_id, made_up_name, random_id
from penstock.spool.values import check_text
from penstock.spool.writer import checked_step

__all__ = ["alert", "finish", "init", "log"]

PROJECT_DEFAULT: Final = "default"
NAME_CHARS_MAX: Final = 500
NOTES_CHARS_MAX: Final = 100_000
GROUP_CHARS_MAX: Final = 250
SYSTEM_METRICS_INTERVAL_S_MIN: Final = 1.0
_MODES: Final = ("online", "offline", "disabled")
_RESUMES: Final = ("allow", "must", "never")
_RUN_NAME: Final = re.compile(r"projects/[a-z]([a-z0-9-]{0,61}[a-z0-9])?/runs/[0-9a-f]{32}\Z")
_ADOPT_AFTER_S: Final = 10.0
"""A spool this young may still be waiting for its own sender."""


def init(
    project: str | None = None,
    *,
    experiment: str | None = None,
    name: str | None = None,
    config: object = None,
    tags: Mapping[str, str] | Iterable[str] | None = None,
    notes: str | None = None,
    group: str | None = None,
    id: str | None = None,  # noqa: A002 - the word that users of such libraries look for
    resume: str | None = None,
    fork: tuple[str | Run, int] | None = None,
    mode: str | None = None,
    strict: bool = False,
    capture: bool = True,
    console: bool = False,
    system_metrics: bool | float = True,
) -> Run:
    """Starts a run and returns it, without waiting for any network (except with `resume="must"`).

    A run that is going on in this process is finished first. In a job of many ranks (`RANK`, `SLURM_PROCID`) give all of
    them the same `id`, or set PENSTOCK_RUN_ID: rank 0 then creates and ends the run, and the others write into it.

    Args:
        project: The id of the project, PENSTOCK_PROJECT without it, else `default`. It is created if it is missing and the
            token allows that.
        experiment: The display name of the experiment, PENSTOCK_EXPERIMENT without it. Created if it is missing.
        name: The run's name for people, at most 500 characters. Made up if missing.
        config: Params: a mapping, a dataclass, an `argparse.Namespace`, or an object whose public attributes are meant.
            Nested ones are recorded flat, their keys joined by `/`.
        tags: Labels: a mapping, or names without a value.
        notes: For people, Markdown, at most 100,000 characters.
        group: Binds runs that belong together, at most 250 characters.
        id: The id, 32 hex digits, PENSTOCK_RUN_ID without it, else random.
        resume: What to do when the run exists: `allow` goes on with it (default), `must` raises when it does not exist,
            `never` refuses to go on. The default step goes on from the last one with `must`, and with `allow` if this
            machine logged it.
        fork: A run (or its id) and a step: the new run remembers that it goes on from there, and its default step does.
        mode: `online`, `offline` (nothing is sent until `penstock sync`) or `disabled` (nothing is kept); PENSTOCK_MODE
            without it.
        strict: Whether `log` raises when the disk is full, instead of counting points as dropped.
        capture: Whether commit, program and machine are noted; PENSTOCK_CAPTURE=0 switches it off, too.
        console: Whether what this process prints (`sys.stdout`, `sys.stderr`, line by line) is kept as files of the run below
            `console/`; PENSTOCK_CONSOLE=1 switches it on, too. At most 100 MB.
        system_metrics: Whether the load of the machine is logged, or every how many seconds (default 15, at least 1).

    Raises:
        InvalidType, InvalidInput: An argument is wrong.
        NotFound, ServerUnavailable, NotConnected: Only with `resume="must"`.
        SpoolFull: The disk is full and `strict` is set.
    """
    rank = _rank()
    given_id = id if id is not None else os.environ.get("PENSTOCK_RUN_ID") or None
    run_id = checked_run_id(given_id, "id") if given_id is not None else random_id()
    joins = rank != 0 and given_id is not None
    chosen_mode = _choice(mode or os.environ.get("PENSTOCK_MODE") or "online", _MODES, "mode")
    chosen_resume = _choice(resume or "allow", _RESUMES, "resume")
    if chosen_resume == "must" and given_id is None:
        raise InvalidInput('resume="must" needs the id of the run.')
    if not isinstance(strict, bool):
        raise InvalidType(f"strict must be True or False, not {type(strict).__name__}.")
    chosen_project = checked_project(project or os.environ.get("PENSTOCK_PROJECT") or PROJECT_DEFAULT)
    forked_from, fork_step = _fork(fork, chosen_project)
    writer_id = random_id()
    meta = SpoolMeta(
        run_id=run_id,
        writer_id=writer_id,
        project=chosen_project,
        start_time_us=time.time_ns() // 1000,
        mode=chosen_mode,
        primary=not joins,
        rank=rank,
        resume=chosen_resume,
        experiment=check_text(experiment or os.environ.get("PENSTOCK_EXPERIMENT") or "", "experiment", NAME_CHARS_MAX),
        display_name=check_text(name or made_up_name(run_id), "name", NAME_CHARS_MAX),
        notes=check_text(notes or "", "notes", NOTES_CHARS_MAX),
        group=check_text(group or "", "group", GROUP_CHARS_MAX),
        forked_from=forked_from,
        fork_step=fork_step,
        process_id=os.getpid(),
    )
    interval_s = _interval_s(system_metrics)
    connection = None if chosen_mode == "disabled" else _connection(chosen_mode, required=chosen_resume == "must")
    first_step = fork_step + 1 if forked_from else _next_local_step(run_id) if given_id is not None else 0
    if chosen_resume == "must" and connection is not None:
        answer = ask_about_run(connection, meta.project, run_id)
        if answer.get("max_step") is not None:
            first_step = max(first_step, int(answer["max_step"]) + 1)
        # A run that is there keeps its name.
        meta = replace(meta, display_name=answer["display_name"] or meta.display_name)
    wants_capture = capture and os.environ.get("PENSTOCK_CAPTURE") not in {"0", "false", "no", "off"}
    options = RunOptions(
        mode=chosen_mode,
        strict=strict,
        first_step=first_step,
        capture=wants_capture,
        console=console or os.environ.get("PENSTOCK_CONSOLE") in {"1", "true", "yes", "on"},
        system_metrics_interval_s=interval_s,
    )
    if given_id is None and chosen_mode != "disabled" and _is_second_of_many(rank):
        say(
            "this is one of many ranks, and each that calls init starts a run of its own. For one run of all, give all the "
            "same id: set PENSTOCK_RUN_ID to 32 hex digits before they start, such as those of `openssl rand -hex 16`."
        )
    former = active_run()
    if former is not None:
        say(f"run {former.name} was still going on in this process: it is finished now.")
        former.finish()
    spool_root = home() / "spool"
    run = Run(meta, options, connection if chosen_mode == "online" else None, spool_root)
    # Before the spool is made: an argument that is wrong must not leave a run behind.
    inputs = {} if config is None else config
    run.check_config(inputs)
    labels = _labels(tags)
    run.open()
    install_hooks()
    activate(run)
    run.config.update(inputs)
    run.tags.update(labels)
    if wants_capture and not joins:
        run.tags.set_own(captured_process())
    if chosen_mode == "online" and connection is not None:
        say(f"run {meta.display_name}: {run.url}")
        _adopt(connection, run_id)
    return run


def log(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Logs into the run that is going on. As `Run.log`. Raises `InvalidInput` when none was started."""
    needed_run().log(metrics, step)


def alert(title: str, text: str = "", *, level: str = "info", step: int | None = None, wait_s: float = 0.0) -> None:
    """Tells people something of the run that is going on. As `Run.alert`. Raises `InvalidInput` when none was started."""
    needed_run().alert(title, text, level=level, step=step, wait_s=wait_s)


def finish(status: str | None = None, *, timeout_s: float | None = None) -> Receipt | None:
    """Ends the run that is going on. As `Run.finish`; None when there is none."""
    run = active_run()
    return None if run is None else run.finish(status, timeout_s=timeout_s)


def _rank() -> int:
    for variable in ("RANK", "SLURM_PROCID"):
        text = os.environ.get(variable)
        if text:
            # A variable of this name may mean something else: then it is no rank.
            return int(text) if text.isascii() and text.isdigit() and int(text) < 2**31 else 0
    return 0


def _is_second_of_many(rank: int) -> bool:
    """Whether this is rank 1 of several: one to speak for all, and not rank 0, which may be the only one that logs."""
    counts = (os.environ.get(variable) or "" for variable in ("WORLD_SIZE", "SLURM_NTASKS"))
    return rank == 1 and any(text.isascii() and text.isdigit() and int(text) > 1 for text in counts)


def _choice(value: str, choices: tuple[str, ...], what: str) -> str:
    if value not in choices:
        raise InvalidInput(f"{what} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def _fork(fork: object, project: str) -> tuple[str, int]:
    if fork is None:
        return "", 0
    if not isinstance(fork, tuple) or len(fork) != 2:
        raise InvalidType("fork must be a pair: a run and a step.")
    source, step = fork
    if isinstance(source, Run):
        source = source.resource_name
    if not (isinstance(source, str) and _RUN_NAME.match(source)):
        source = f"projects/{project}/runs/{checked_run_id(source, 'fork')}"
    return source, checked_step(step)


def _interval_s(system_metrics: object) -> float | None:
    if isinstance(system_metrics, bool):
        return SYSTEM_METRICS_INTERVAL_S if system_metrics else None
    if not isinstance(system_metrics, (int, float)):
        raise InvalidType(f"system_metrics must be True, False or seconds, not {type(system_metrics).__name__}.")
    if not system_metrics >= SYSTEM_METRICS_INTERVAL_S_MIN:
        raise InvalidInput(f"system_metrics must be at least {SYSTEM_METRICS_INTERVAL_S_MIN:.0f} second.")
    return float(system_metrics)


def _labels(tags: object) -> dict[str, str]:
    if tags is None:
        return {}
    if isinstance(tags, Mapping):
        return dict(tags)
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidType('tags must be a mapping or a list of names, such as ["baseline"].')
    return dict.fromkeys(tags, "")


def _connection(mode: str, *, required: bool) -> Connection | None:
    try:
        return resolve()
    except NotConnected as error:
        if required:
            raise
        if mode == "online":
            say(f"{error} Until then what is logged is kept here; a server that comes up is found by itself.")
    except PenstockError as error:
        if required:
            raise
        if mode == "online":
            say(f"{error} Until then what is logged is kept here; send it with `penstock sync`.")
    return None


def _next_local_step(run_id: str) -> int:
    """One more than the greatest step that this machine logged into a run before; 0 if it did not."""
    greatest = -1
    for path in (home() / "receipts").glob(f"{run_id}.*.json"):
        receipt = read_receipt(path)
        if receipt is not None and receipt.max_step is not None:
            greatest = max(greatest, receipt.max_step)
    return greatest + 1


def _adopt(connection: Connection, own_run_id: str) -> None:
    """Has spools sent that dead senders left, if there are any."""
    try:
        if any(
            _is_orphan(path.parent)
            for path in (home() / "spool").glob(f"*/*/{META_FILE}")
            if own_run_id not in path.parts
        ):
            start_adoption(connection)
    except OSError:
        # There can be no more processes: the next init looks again.
        return


def _is_orphan(folder: Path) -> bool:
    try:
        age_s = time.time() - (folder / META_FILE).stat().st_mtime
        return age_s > _ADOPT_AFTER_S and SpoolMeta.read(folder).mode == "online" and not sender_is_alive(folder)
    except (OSError, PenstockError):
        # Sent and removed in this moment, or damaged: `penstock sync` tells.
        return False
