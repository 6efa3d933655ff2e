"""What was sent, what was acknowledged and what was read, and whether these can all be true of a log that keeps its promises.

Each acknowledged batch is present exactly once, with the bits that were sent and in the order of its writer. Batches that
were sent and not acknowledged may be there too, behind those. What a reader has seen is never taken back.
"""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from penstock.api.tracking.v1 import metric_pb2

__all__ = ["KEYS", "ROWS", "History"]

KEYS = ("a", "b")
ROWS = 50
"""Rows of a batch."""
ROWS_PER_STEP = 3
"""Rows of one step and time follow each other as they were logged: this shows the order. No divisor of `ROWS`."""
TIME_US = 1_700_000_000_000_000
NAN_EVERY = 97  # rows: bits that arithmetic would lose

UInt64s = npt.NDArray[np.uint64]


class History:
    """What happened to the writers of one run. Each writer has metrics of its own: `{writer}/{key}`.

    Args:
        seed: Of the values.

    Attributes:
        violations: What cannot be. Empty if the log may have kept its promises.
        acked: By writer, the greatest sequence that was acknowledged.
        sent: By writer, the greatest sequence that was sent.
        outages: Why streams ended that were no fault of the sender: the reasons that the service gave.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.violations: list[str] = []
        self.acked: dict[int, int] = defaultdict(int)
        self.sent: dict[int, int] = defaultdict(int)
        self.outages: set[str] = set()
        self._seen: dict[tuple[int, str], int] = defaultdict(int)

    def content(self, writer: int, sequence: int) -> metric_pb2.MetricBatchContent:
        """The batch of a writer with a sequence: the same each time. Counts as sent."""
        self.sent[writer] = max(self.sent[writer], sequence)
        rows = np.arange((sequence - 1) * ROWS, sequence * ROWS)
        columns = [self._bits(writer, key, rows).view(np.float64) for key in KEYS]
        steps = rows // ROWS_PER_STEP
        return metric_pb2.MetricBatchContent(
            new_keys=[metric_pb2.MetricKey(id=n, key=f"{writer}/{key}") for n, key in enumerate(KEYS)]
            if sequence == 1
            else [],
            blocks=[
                metric_pb2.MetricBlock(
                    key_ids=range(len(KEYS)),
                    steps=steps.tolist(),
                    times_unix_us=(TIME_US + steps).tolist(),
                    values=np.stack(columns, axis=1).ravel().tolist(),
                )
            ],
        )

    def resumed(self, writer: int, sequence: int) -> None:
        """A stream was opened, and told where the writer stands."""
        if sequence < self.acked[writer]:
            self.violations.append(f"writer {writer} resumes behind {sequence}; {self.acked[writer]} was acknowledged")
        self.acknowledged(writer, sequence)

    def acknowledged(self, writer: int, sequence: int) -> None:
        """Everything of a writer up to a sequence was acknowledged."""
        if sequence > self.sent[writer]:
            self.violations.append(f"writer {writer}: {sequence} was acknowledged, {self.sent[writer]} was sent")
        self.acked[writer] = max(self.acked[writer], sequence)

    def refused(self, writer: int, reason: str) -> None:
        """The server refused what a faithful sender sent."""
        self.violations.append(f"writer {writer} was refused: {reason}")

    def read(self, writer: int, key: str, steps: npt.ArrayLike, values: npt.ArrayLike, *, acked: int) -> None:
        """All points of a metric were read.

        Args:
            writer: Whose.
            key: One of `KEYS`.
            steps: As they were read.
            values: As they were read.
            acked: What was acknowledged before the read began.
        """
        name = f"{writer}/{key}"
        found_steps = np.asarray(steps, np.int64)
        found_bits = np.asarray(values, np.float64).view(np.uint64)
        count = len(found_bits)
        rows = np.arange(count)
        if count < acked * ROWS:
            self.violations.append(f"{name}: {count} points were read, {acked * ROWS} were acknowledged before")
        if count > self.sent[writer] * ROWS:
            self.violations.append(f"{name}: {count} points were read, {self.sent[writer] * ROWS} were sent")
        if count < self._seen[writer, key]:
            self.violations.append(f"{name}: {count} points were read, and {self._seen[writer, key]} before")
        wrong = np.flatnonzero((found_bits != self._bits(writer, key, rows)) | (found_steps != rows // ROWS_PER_STEP))
        if len(wrong):
            self.violations.append(
                f"{name}: row {wrong[0]} of {count} and {len(wrong) - 1} others are not what was sent"
            )
        self._seen[writer, key] = max(self._seen[writer, key], count)

    def _bits(self, writer: int, key: str, rows: npt.NDArray[np.int64]) -> UInt64s:
        """The bits of the values in rows: unlike in all others (the mixing function of SplitMix64), some of them NaN."""
        with np.errstate(over="ignore"):
            bits = rows.astype(np.uint64) + np.uint64((self._seed << 40) + (writer << 34) + (KEYS.index(key) << 32))
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            bits ^= bits >> np.uint64(31)
        quiet_nan = np.uint64(0x7FF8_0000_0000_0000)
        is_nan = (bits & np.uint64(0x7FF0_0000_0000_0000)) == np.uint64(0x7FF0_0000_0000_0000)
        return np.where(is_nan | (rows % NAN_EVERY == 0), bits | quiet_nan, bits)
