"""Which stream has a writer, among all replicas: one record per open stream in the document store.

Points need no such thing: batches of one writer are the same bytes whoever sends them, so the metric log tells a repeat from
a conflict by itself. What a batch says beside its points is different: applied late, by a stream that another one followed,
it would undo what the other applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock_kit.clock import Clock
from penstock_kit.ids import random_id
from penstock_kit.interceptors.authorize import STREAM_AGE_S_MAX
from penstock_kit.stores.documents import DocumentExists, DocumentMissing, DocumentStore, VersionConflict
from penstock_tracking.errors import WriterFenced, WriterReopened
from penstock_tracking.store import WRITE_ATTEMPTS_MAX, WRITERS

__all__ = ["Claim", "WriterClaims"]

CLAIM_AGE_S_MAX: Final = STREAM_AGE_S_MAX + 300.0
"""An older claim is of a stream that has ended, on a replica that died: nobody is held up by it."""

CLAIMS_PER_LOOK: Final = 1_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A stream's hold on its writer.

    Attributes:
        project: The project of the run.
        run_id: The run.
        writer: The writer, 32 hex digits.
        epoch: Of the sender.
        token: Random: two streams of one sender are two claims.
        followed: Whether another stream had the writer.
    """

    project: str
    run_id: str
    writer: str
    epoch: int
    token: str
    followed: bool

    @property
    def id(self) -> str:
        """Of its record, in the partition of the project."""
        return f"{self.run_id}-{self.writer}"


class WriterClaims:
    """Claims of all replicas, in the collection `writers`."""

    def __init__(self, documents: DocumentStore, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    async def take(self, project: str, run_id: str, writer_key: bytes, *, epoch: int, lease: bool) -> Claim:
        """Claims a writer. Whoever had it, has it no more. Raises `WriterFenced` if that is a newer sender."""
        token = random_id()
        writer = writer_key.hex()
        claim = Claim(project, run_id, writer, epoch, token, followed=False)
        now_us = self._clock.now_us()
        body: dict[str, Any] = {"epoch": epoch, "token": token, "taken_us": now_us}
        if lease:
            body["leased"] = run_id
        for _ in range(WRITE_ATTEMPTS_MAX):
            try:
                there = await self._documents.get(WRITERS, project, claim.id)
                if there.body["epoch"] > epoch and now_us - there.body["taken_us"] <= CLAIM_AGE_S_MAX * 1_000_000:
                    raise WriterFenced("A newer sender reads this spool: this one should stop.")
                await self._documents.replace(WRITERS, project, claim.id, body, expected=there.version)
                return Claim(project, run_id, writer, epoch, token, followed=True)
            except (VersionConflict, DocumentMissing):
                pass
            try:
                await self._documents.insert(WRITERS, project, claim.id, body)
            except DocumentExists:
                continue
            return claim
        raise WriterReopened("This writer is being opened by too many senders at once: try again.")

    async def require(self, claim: Claim) -> None:
        """Raises `WriterFenced`, `WriterReopened` if another stream has the writer by now."""
        if (lost := (await self.lost([claim])).get(claim)) is not None:
            raise lost

    async def lost(self, claims: Sequence[Claim]) -> Mapping[Claim, WriterFenced | WriterReopened]:
        """Returns those claims, of one project, whose writer another stream has by now, and what its sender is to be told."""
        found: dict[Claim, WriterFenced | WriterReopened] = {}
        for first in range(0, len(claims), CLAIMS_PER_LOOK):
            some = claims[first : first + CLAIMS_PER_LOOK]
            there = await self._documents.get_many(WRITERS, some[0].project, [claim.id for claim in some])
            for claim in some:
                record = there.get(claim.id)
                if record is None or record.body["token"] != claim.token:
                    newer = record is not None and record.body["epoch"] > claim.epoch
                    found[claim] = _taken_over() if newer else _reopened()
        return found

    async def release(self, claim: Claim) -> None:
        """Gives a writer up, unless another stream has it."""
        try:
            there = await self._documents.get(WRITERS, claim.project, claim.id)
            if there.body["token"] == claim.token:
                await self._documents.delete(WRITERS, claim.project, claim.id, expected=there.version)
        except (DocumentMissing, VersionConflict):
            return

    async def leased_beside(self, claim: Claim) -> bool:
        """Whether another writer of the run renews its lease."""
        page = await self._documents.query(WRITERS, claim.project, "leased", equal=(claim.run_id,), limit=2)
        return any(document.id != claim.id for document in page.documents)


def _taken_over() -> WriterFenced:
    return WriterFenced("Another sender has taken over this spool: this one should stop.")


def _reopened() -> WriterReopened:
    # Of the same sender, or of one with a copy of its spool: both may go on in turn until everything is there.
    return WriterReopened(
        "This writer was opened anew elsewhere. Nothing acknowledged is lost; open it again to go on."
    )
