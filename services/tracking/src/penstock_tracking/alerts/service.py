"""The use cases of alerts. Knows nothing of gRPC."""

from penstock_kit.clock import Clock
from penstock_kit.names import RunName
from penstock_kit.stores.documents import DocumentExists
from penstock_tracking.alerts.domain import ALERTS_PER_RUN_MAX, Alert, AlertLevel
from penstock_tracking.alerts.store import AlertStore
from penstock_tracking.domain import Run
from penstock_tracking.errors import RunDeleted, TooManyEntries
from penstock_tracking.store import TrackingStore

__all__ = ["AlertService"]


class AlertService:
    """Alerts, over their store and the one in which their runs are."""

    def __init__(self, alerts: AlertStore, store: TrackingStore, clock: Clock) -> None:
        self._alerts = alerts
        self._store = store
        self._clock = clock

    async def create(
        self,
        run: RunName,
        alert_id: str,
        *,
        title: str,
        text: str,
        level: AlertLevel,
        step: int | None,
        alert_us: int | None,
        by: str,
    ) -> Alert:
        """Raises an alert, or returns the one that is there under the id.

        Raises `RunNotFound`, `RunDeleted`, `TooManyEntries`.
        """
        now_us = self._clock.now_us()
        alert = Alert(
            project=run.project,
            run_id=run.run_id,
            alert_id=alert_id,
            title=title,
            text=text,
            level=level,
            step=step,
            alert_us=now_us if alert_us is None else alert_us,
            create_us=now_us,
            creator=by,
        )
        if there := await self._alerts.find(run.project, run.run_id, alert_id):
            return there

        def counted(now: Run) -> Run:
            if not now.active:
                raise RunDeleted(f"The run {now.run_id} is in the bin. Restore it to go on logging.")
            if now.alert_count >= ALERTS_PER_RUN_MAX:
                raise TooManyEntries(
                    f"The run has its {ALERTS_PER_RUN_MAX:,} alerts: no other is kept.", limit="ALERTS_PER_RUN_MAX"
                )
            return now.alerted(now_us)

        try:
            await self._store.change_run(run.project, run.run_id, counted, beside=[self._alerts.insertion(alert)])
        except DocumentExists:
            # The same alert came twice at once.
            return await self._alerts.find(run.project, run.run_id, alert_id) or alert
        return alert

    async def newest(
        self, project: str, run_id: str | None, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Alert], bytes | None]:
        """Returns a page of the alerts of a run, or of all runs of a project, newest first, and where to go on."""
        return await self._alerts.newest(project, run_id, limit=limit, cursor=cursor)
