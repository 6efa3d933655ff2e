"""The gRPC face of alerts: unpack, call, pack."""

from typing import Any

from penstock.api.tracking.v1 import alert_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.access import current_caller
from penstock_kit.names import ProjectName, RunName
from penstock_tracking.alerts.domain import Alert, AlertLevel
from penstock_tracking.alerts.service import AlertService
from penstock_tracking.convert import time_from_us, time_to_us

__all__ = ["AlertServicer"]


class AlertServicer:
    """The methods of TrackingService about alerts."""

    def __init__(self, alerts: AlertService) -> None:
        self._alerts = alerts

    async def CreateAlert(self, request: Any, context: Any) -> Any:
        alert = request.alert
        created = await self._alerts.create(
            RunName.parse(request.parent),
            request.alert_id,
            title=alert.title,
            text=alert.text,
            level=AlertLevel(alert.level or AlertLevel.INFO),
            step=alert.step if alert.HasField("step") else None,
            alert_us=time_to_us(alert.alert_time) if alert.HasField("alert_time") else None,
            by=current_caller().principal,
        )
        return pb.CreateAlertResponse(alert=_alert(created))

    async def ListAlerts(self, request: Any, context: Any) -> Any:
        run = RunName.parse(request.parent) if "/runs/" in request.parent else None
        project = run.project if run is not None else ProjectName.parse(request.parent).project
        fingerprint = paging.fingerprint(request)
        cursor = paging.place(request.page_token, fingerprint, bytes)
        alerts, after = await self._alerts.newest(
            project, None if run is None else run.run_id, limit=paging.page_size(request.page_size), cursor=cursor
        )
        return pb.ListAlertsResponse(
            alerts=[_alert(alert) for alert in alerts],
            next_page_token=paging.seal(fingerprint, after) if after is not None else "",
        )


def _alert(alert: Alert) -> alert_pb2.Alert:
    return alert_pb2.Alert(
        name=f"projects/{alert.project}/runs/{alert.run_id}/alerts/{alert.alert_id}",
        title=alert.title,
        text=alert.text,
        level=f"ALERT_LEVEL_{alert.level.name}",
        step=alert.step,
        alert_time=time_from_us(alert.alert_us),
        create_time=time_from_us(alert.create_us),
        creator=alert.creator,
    )
