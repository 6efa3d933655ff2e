"""A run, as the training process sees it. Writes the spool, and waits for the sender only in `finish`."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from penstock.config import Connection, home
from penstock.errors import InvalidInput, InvalidType, RunFinished, SpoolFull
from penstock.run.artifacts import RunArtifacts
from penstock.run.console import Console
from penstock.run.entries import Config, Params, Summary, Tags
from penstock.run.messages import say
from penstock.run.monitor import Monitor
from penstock.run.receipt import Receipt
from penstock.spool.meta import ReceiptData, SpoolMeta, read_receipt, receipt_path
from penstock.spool.names import random_id
from penstock.spool.records import RecordType
from penstock.spool.values import check_key
from penstock.spool.writer import DiscardingWriter, SpoolWriter, checked_step

if TYPE_CHECKING:
    from penstock.media import Media

__all__ = ["FAILURE_CHARS_MAX", "Metric", "Run", "RunOptions", "failure_text"]

FAILURE_CHARS_MAX: Final = 8_000
UNREACHABLE_WAIT_S: Final = 30.0
"""How long `finish` waits for a server that does not answer. The sender goes on trying afterwards."""
INTERRUPTED_WAIT_S: Final = 5.0
"""How long `finish` goes on sending after Ctrl-C."""
_PROGRESS_AFTER_S: Final = 1.0
_POLL_INTERVAL_S: Final = 0.02
_STATES: Final = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_GOALS: Final = ("minimize", "maximize")
_SUMMARIES: Final = ("min", "max", "last")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is kept.

    Attributes:
        mode: `online`, `offline` or `disabled`.
        strict: Whether `log` raises when the disk has no room.
        first_step: The step of the first row that names none.
        capture: Whether place and program are noted.
        console: Whether what is printed is kept.
        system_metrics_interval_s: How often the load of the machine is measured; None if not at all.
    """

    mode: str
    strict: bool
    first_step: int
    capture: bool
    console: bool
    system_metrics_interval_s: float | None


class Run(RunArtifacts):
    """A run that takes metrics. Made by `penstock.init`, usable from any thread and in forked children.

    Attributes:
        config: Params: a dict that writes, also by attributes: `run.config.lr`.
        summary: What you say of the outcome: a dict that writes.
        tags: Labels: a dict that writes.
    """

    def __init__(self, meta: SpoolMeta, options: RunOptions, connection: Connection | None, spool_root: Path) -> None:
        self._meta = meta
        self._options = options
        self._connection = connection
        self._spool_root = spool_root
        self._writer: SpoolWriter | None = None
        self._monitor: Monitor | None = None
        self._console: Console | None = None
        self._receipt: Receipt | None = None
        self._next_step_after_fork = options.first_step
        self._forked = False
        self._lock = threading.RLock()
        self._on_finished: Callable[[Run], None] | None = None
        self._quiet_until_s: dict[str, float] = {}
        self._spool_trouble_said = False
        self._params = Params(self._record)
        self.config = Config(self._params)
        self.summary = Summary(self._record)
        self.tags = Tags(self._record)

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self._meta.run_id

    @property
    def name(self) -> str:
        """The name for people."""
        return self._meta.display_name

    @property
    def project(self) -> str:
        """The id of the project."""
        return self._meta.project

    @property
    def resource_name(self) -> str:
        """`projects/{project}/runs/{run}`, by which the client and the API know it."""
        return self._meta.run_name

    @property
    def url(self) -> str | None:
        """Where the dashboard shows it; None while no server is known."""
        if self._connection is None:
            return None
        return f"{self._connection.http}/projects/{self._meta.project}/runs/{self._meta.run_id}"

    @property
    def mode(self) -> str:
        """`online`, `offline` or `disabled`."""
        return self._options.mode

    @property
    def finished(self) -> bool:
        """Whether it takes no more."""
        return self._receipt is not None or (self._writer is not None and self._writer.closed)

    @property
    def spool_folder(self) -> Path | None:
        """The spool of this process; None if there is none."""
        writer = self._writer
        return None if writer is None or isinstance(writer, DiscardingWriter) else writer.folder

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs values of metrics at one step, and returns in microseconds: nothing here waits for a network.

        Args:
            metrics: Values by name: numbers, truth values, scalars of numpy, torch or jax. Nested mappings are flattened,
                their names joined by `/`. Names have 1 to 250 characters, none a control character. NaN and the
                infinities are values. At most 10,000 at a time. Also media (`penstock.Image`, `Audio`, `Video`, `Table`,
                `Histogram`), figures of matplotlib and Plotly, images of PIL, and lists of these: they are encoded here
                and now, which takes milliseconds, and go to the server as files of the run.
            step: Any int64, in any order. Without it, one more than the greatest so far; 0 at first.

        Raises:
            InvalidType: A value is text, None, an array or something else that is no number and no media; or `step` is no
                whole number. Nothing is logged then.
            InvalidInput: A name or the step is out of its limits. Nothing is logged then.
            RunFinished: `finish` was called.
            SpoolFull: The disk is full and the run is strict. Otherwise the points are counted as dropped.
        """
        if step is not None:
            step = checked_step(step)
        writer = self._writer or self._open_writer()
        try:
            writer.write_row(metrics, step)
        except InvalidType:
            # Perhaps media: a row of numbers does not pay for them.
            if not isinstance(metrics, Mapping):
                raise
            from penstock.run.media import split_row

            numbers, media = split_row(metrics)
            if not media:
                raise
            self._log_media(writer, numbers, media, step)

    def _log_media(
        self, writer: SpoolWriter, numbers: dict[str, Any], media: "dict[str, list[Media]]", step: int | None
    ) -> None:
        from penstock.run.media import write_media

        # Before anything is logged: what cannot be encoded shall leave nothing.
        encoded = {key: [(one, one.encoded()) for one in several] for key, several in media.items()}
        taken = writer.write_row(numbers, step) if numbers else writer.take_step(step)
        assert taken is not None, "the row is not empty"
        try:
            write_media(writer, encoded, taken)
        except SpoolFull as error:
            if self._options.strict:
                raise
            if not self._spool_trouble_said:
                self._spool_trouble_said = True
                say(f"{error} {', '.join(map(repr, encoded))} and what follows may be missing.")

    def __getitem__(self, name: str) -> "Metric":
        return Metric(self, check_key(name, "A metric's name"))

    def define_metric(
        self, name: str, *, x: str | None = None, goal: str | None = None, summary: str | None = None
    ) -> None:
        """Says how a metric is to be shown and judged.

        Args:
            name: The metric, or a prefix ending in `*`.
            x: The metric to draw it against, instead of the step.
            goal: `minimize` or `maximize`.
            summary: Which value stands for the whole series: `min`, `max` or `last`.

        Raises `InvalidInput` when an argument is none of these.
        """
        key = check_key(name, "A metric's name")
        x_key = check_key(x, "x") if x is not None else ""
        if goal is not None and goal not in _GOALS:
            raise InvalidInput(f"goal must be one of {', '.join(_GOALS)}, not {goal!r}.")
        if summary is not None and summary not in _SUMMARIES:
            raise InvalidInput(f"summary must be one of {', '.join(_SUMMARIES)}, not {summary!r}.")
        self._record(RecordType.DEFINITION, {"key": key, "x": x_key, "goal": goal or "", "summary": summary or ""})

    def finish(self, status: str | None = None, *, timeout_s: float | None = None) -> Receipt:
        """Ends the run, waits until everything is durable on the server, and returns the receipt. Safe to repeat.

        On a terminal it shows how much is left. The first Ctrl-C makes it wait at most 5 s more, the second leaves at once.
        When the server does not answer for 30 s it stops waiting. In all these cases nothing is lost: the sender goes on,
        and `penstock sync` sends what it could not.

        Args:
            status: `finished`, `failed` or `killed`; without it, `finished`.
            timeout_s: How long to wait at most, in seconds.

        Raises `InvalidInput` when `status` is none of these.
        """
        state = _STATES.get((status or "finished").lower())
        if state is None:
            raise InvalidInput(f"status must be one of {', '.join(_STATES)}, not {status!r}.")
        return self.end(state, timeout_s=timeout_s)

    def end(self, state: str, failure: str = "", *, wait: bool = True, timeout_s: float | None = None) -> Receipt:
        """Ends the run in a state of the contract. See `finish`, which is for people.

        Args:
            state: `FINISHED`, `FAILED` or `KILLED`.
            failure: The last lines of the error.
            wait: Whether to wait for the sender at all.
            timeout_s: How long to wait at most.
        """
        with self._lock:
            if self._receipt is not None:
                return self._receipt
            monitor, writer = self._monitor, self._writer
            if self._console is not None:
                self._console.close()
            if monitor is not None and wait:
                monitor.stop()
            if writer is None:
                # A forked child that logged nothing has no spool.
                self._receipt = Receipt(self.resource_name, 0, 0, 0, "", False, state)
            else:
                if not writer.finish(state, failure[-FAILURE_CHARS_MAX:], closes_run=self._meta.primary):
                    say("the end of the run could not be written, for want of disk space: it will be shown as crashed.")
                local = Receipt(
                    self.resource_name, writer.points, 0, writer.dropped, "", False, state, writer.orders.count
                )
                self._receipt = self._settled(local, monitor, timeout_s) if wait else local
                if monitor is not None and monitor.sender is not None:
                    monitor.sender.let_go()
            if self._on_finished is not None:
                self._on_finished(self)
            return self._receipt

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
            self.end("FINISHED")
        elif isinstance(error, KeyboardInterrupt):
            self.end("KILLED", timeout_s=INTERRUPTED_WAIT_S)
        else:
            self.end("FAILED", failure_text(error))

    def __repr__(self) -> str:
        return f"<penstock.Run {self.resource_name} {self.name!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A run cannot be handed to another process. Forked children log into the run of their parent by themselves; in "
            f'any other process join it: penstock.init(id="{self.id}"), with a RANK of its own in the environment.'
        )

    def open(self) -> None:
        """Makes the spool and starts its sender. For `init`."""
        self._open_writer()

    def check_config(self, values: object) -> None:
        """Raises what `config.update` would raise, and writes nothing. For `init`."""
        self._params.check(values)

    def when_finished(self, callback: "Callable[[Run], None]") -> None:
        """Sets who is told that the run ended."""
        self._on_finished = callback

    def after_fork_in_child(self) -> None:
        """Makes the run of the parent usable in a forked child: the child writes a spool of its own into the same run."""
        writer = self._writer
        self._lock = threading.RLock()
        self._forked = True
        if writer is not None:
            self._next_step_after_fork = writer.next_step
            if writer.closed and self._receipt is None:
                self._receipt = Receipt(self.resource_name, 0, 0, 0, "", False, "")
            writer.abandon()
            self._writer = None
        if self._monitor is not None and self._monitor.sender is not None:
            self._monitor.sender.let_go()
        self._monitor = None
        if self._console is not None:
            self._console.after_fork_in_child()

    def _spool_writer(self) -> SpoolWriter:
        return self._writer or self._open_writer()

    def _open_writer(self) -> SpoolWriter:
        with self._lock:
            if self._writer is not None:
                return self._writer
            if self._receipt is not None:
                raise RunFinished("The run is finished. Start another one with penstock.init().")
            if self._forked:
                self._meta = replace(self._meta, writer_id=random_id(), primary=False, process_id=os.getpid())
            self._writer = writer = self._made_writer()
            if not isinstance(writer, DiscardingWriter):
                interval_s = None if self._forked else self._options.system_metrics_interval_s
                self._monitor = Monitor(
                    writer,
                    offline=self._options.mode == "offline",
                    connection=self._connection,
                    capture_git=Path.cwd() if self._options.capture and self._meta.primary else None,
                    system_metrics_interval_s=interval_s,
                    on_connected=self._connected,
                )
                self._monitor.start()
                if self._options.console and not self._forked:
                    self._keep_console(writer)
            return writer

    def _keep_console(self, writer: SpoolWriter) -> None:
        try:
            self._console = Console(writer.folder)
        except OSError as error:
            say(f"what is printed is not kept: {error.strerror or error}.")

    def _made_writer(self) -> SpoolWriter:
        first_step = self._next_step_after_fork
        if self._options.mode == "disabled":
            return DiscardingWriter(first_step=first_step)
        folder = self._spool_root / self._meta.run_id / self._meta.writer_id
        try:
            return SpoolWriter.create(
                folder, self._meta, first_step=first_step, strict=self._options.strict, on_trouble=say
            )
        except OSError as error:
            if self._options.strict:
                raise SpoolFull(f"The spool {folder} cannot be made: {error.strerror or error}.") from error
            say(f"the spool {folder} cannot be made ({error.strerror or error}): nothing of this run is kept.")
            return DiscardingWriter(first_step=first_step, reason=error)

    def _record(self, record_type: RecordType, content: dict[str, Any]) -> None:
        writer = self._writer or self._open_writer()
        try:
            writer.write_record(record_type, content)
        except SpoolFull as error:
            if self._options.strict:
                raise
            if not self._spool_trouble_said:
                self._spool_trouble_said = True
                say(f"{error} {content['key']!r} and what follows may be missing.")

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        say(f"found the server: {self.url}")

    def _settled(self, local: Receipt, monitor: Monitor | None, timeout_s: float | None) -> Receipt:
        """Waits until the server has everything, or waiting makes no more sense. Returns what is known then."""
        writer = self._writer
        if writer is None or isinstance(writer, DiscardingWriter) or monitor is None:
            return local
        if self._options.mode == "offline":
            say(f"run {self.name} is kept in {writer.folder}; send it with `penstock sync`.")
            return local
        monitor.find_server()
        if monitor.sender is None:
            say(f"no server is known: run {self.name} is kept in {writer.folder}; send it with `penstock sync`.")
            return local
        return _Waiting(self._meta, local, writer.folder, monitor, timeout_s).outcome()


class Metric:
    """One metric of a run: `run["train/loss"].append(0.5)`."""

    __slots__ = ("_name", "_run")

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def append(self, value: Any, step: int | None = None) -> None:
        """Logs one value. As `Run.log`."""
        self._run.log({self._name: value}, step)


class _Waiting:
    """Waits in `finish` for the sender, shows how far it is, and lets the person leave."""

    def __init__(
        self, meta: SpoolMeta, local: Receipt, folder: Path, monitor: Monitor, timeout_s: float | None
    ) -> None:
        self._meta = meta
        self._local = local
        self._folder = folder
        self._monitor = monitor
        self._receipt_path = receipt_path(home(), meta.run_id, meta.writer_id)
        self._started_s = time.monotonic()
        self._deadline_s = None if timeout_s is None else self._started_s + timeout_s
        self._unreachable_since_s: float | None = self._started_s
        self._durable = 0
        self._shown = False

    def outcome(self) -> Receipt:
        interrupted = False
        while True:
            try:
                found = self._wait()
                break
            except KeyboardInterrupt:
                if interrupted:
                    found = None
                    break
                interrupted = True
                self._deadline_s = time.monotonic() + INTERRUPTED_WAIT_S
                self._clear()
                say(f"sending for {INTERRUPTED_WAIT_S:.0f} s more; Ctrl-C again leaves at once.")
        self._clear()
        if found is not None:
            self._monitor.tell(found.notices)
            return Receipt(
                run=found.run,
                points_logged=found.points_logged,
                points_durable=found.points_durable,
                dropped=found.dropped,
                digest=found.digest,
                verified=found.verified,
                state=self._local.state,
                orders=found.orders,
                orders_durable=found.orders_durable,
            )
        left = max(self._local.points_logged - self._durable, 0)
        others = "Alerts, media or artifacts are" if self._local.orders else "The end of the run is"
        what = f"{left:,} points are" if left else others
        say(
            f"{what} still to be sent, and kept in {self._folder}. The sender goes on in the background; `penstock sync` "
            "sends what it cannot."
        )
        return replace(self._local, points_durable=self._durable)

    def _wait(self) -> ReceiptData | None:
        while True:
            found = read_receipt(self._receipt_path)
            if found is not None:
                return found
            now_s = time.monotonic()
            status = self._monitor.look()
            if status is not None:
                self._durable = max(self._durable, status.acked_points)
                if status.state in {"refused", "left"}:
                    return None
                if status.state == "streaming":
                    self._unreachable_since_s = None
                elif self._unreachable_since_s is None:
                    self._unreachable_since_s = now_s
            if self._deadline_s is not None and now_s >= self._deadline_s:
                return None
            if self._unreachable_since_s is not None and now_s - self._unreachable_since_s >= UNREACHABLE_WAIT_S:
                return None
            if now_s - self._started_s >= _PROGRESS_AFTER_S:
                self._show()
            time.sleep(_POLL_INTERVAL_S)

    def _show(self) -> None:
        if sys.stderr is None or not sys.stderr.isatty():
            return
        left = max(self._local.points_logged - self._durable, 0)
        sys.stderr.write(f"\rpenstock: {left:,} of {self._local.points_logged:,} points left to send \x1b[K")
        sys.stderr.flush()
        self._shown = True

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def failure_text(error: BaseException) -> str:
    """The last lines of an error, at most `FAILURE_CHARS_MAX` characters."""
    text = "".join(traceback.format_exception(error))
    return text.encode("utf-8", "replace").decode()[-FAILURE_CHARS_MAX:]
