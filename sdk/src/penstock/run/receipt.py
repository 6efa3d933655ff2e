"""The receipt: what became of everything that a run logged."""

from dataclasses import dataclass

__all__ = ["Receipt"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `finish()` returns.

    Attributes:
        run: `projects/{project}/runs/{run}`.
        points_logged: Points that this process kept on its disk: all that `log()` took, system metrics included.
        points_durable: Points of it that the server has made durable.
        dropped: Points that found no room on the disk, and are nowhere.
        digest: SHA-256 chained over all batches, 64 hex digits; empty until everything was sent.
        verified: Whether the server computed the same chain over what it keeps.
        state: How the run ended: `FINISHED`, `FAILED` or `KILLED`.
        orders: What this process logged beside points and left to the sender: alerts, media, artifacts.
        orders_durable: Those of them that the server has.
    """

    run: str
    points_logged: int
    points_durable: int
    dropped: int
    digest: str
    verified: bool
    state: str
    orders: int = 0
    orders_durable: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything that was logged is durable on the server."""
        points = self.verified and self.dropped == 0 and self.points_durable == self.points_logged
        return points and self.orders_durable == self.orders

    def __str__(self) -> str:
        durable = "all" if self.points_durable == self.points_logged else f"{self.points_durable:,}"
        points = "1 point" if self.points_logged == 1 else f"{self.points_logged:,} points"
        parts = [f"{points} logged", f"{durable} durable on the server"]
        if self.orders:
            parts.append(f"{self.orders_durable:,} of {self.orders:,} alerts, media and artifacts durable")
        if self.dropped:
            parts.append(f"{self.dropped:,} dropped")
        parts.append("verified" if self.verified else "not verified")
        return f"{self.run} {self.state}: {', '.join(parts)}"
