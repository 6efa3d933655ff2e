"""Alerts as documents. Owns the layout of their bodies. Partition = project id, id = those of the run and the alert."""

from typing import Any, Final

from penstock_kit.stores.documents import Collection, Document, DocumentMissing, DocumentStore, Index, Insert
from penstock_tracking.alerts.domain import Alert, AlertLevel

__all__ = ["ALERT_COLLECTIONS", "AlertStore"]

ALERTS: Final = "alerts"
ALERT_COLLECTIONS: Final = (Collection(ALERTS, (Index("created", ("create_us",)), Index("run", ("run", "create_us")))),)


class AlertStore:
    """Alerts over the document store."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def find(self, project: str, run_id: str, alert_id: str) -> Alert | None:
        """Returns an alert, None if there is none."""
        try:
            return _alert(await self._documents.get(ALERTS, project, _id(run_id, alert_id)))
        except DocumentMissing:
            return None

    def insertion(self, alert: Alert) -> Insert:
        """The operation that adds an alert: it is written together with the run's record."""
        return Insert(ALERTS, _id(alert.run_id, alert.alert_id), _body(alert))

    async def newest(
        self, project: str, run_id: str | None, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Alert], bytes | None]:
        """Returns alerts of a run, or of all runs of a project, newest first, and where to go on."""
        index, equal = ("created", ()) if run_id is None else ("run", (run_id,))
        page = await self._documents.query(
            ALERTS, project, index, equal=equal, descending=True, limit=limit, cursor=cursor
        )
        return [_alert(document) for document in page.documents], page.cursor


def _id(run_id: str, alert_id: str) -> str:
    return f"{run_id}-{alert_id}"


def _body(alert: Alert) -> dict[str, Any]:
    return {
        "run": alert.run_id,
        "title": alert.title,
        "text": alert.text,
        "level": int(alert.level),
        "step": alert.step,
        "alert_us": alert.alert_us,
        "create_us": alert.create_us,
        "creator": alert.creator,
    }


def _alert(document: Document) -> Alert:
    body = document.body
    return Alert(
        project=document.partition,
        run_id=body["run"],
        alert_id=document.id.rpartition("-")[2],
        title=body["title"],
        text=body["text"],
        level=AlertLevel(body["level"]),
        step=body["step"],
        alert_us=body["alert_us"],
        create_us=body["create_us"],
        creator=body["creator"],
    )
