"""What a run had to say to people: its newest alert in a line, all of them when that is opened."""

from collections.abc import Sequence
from typing import Any

from dash import html

from penstock.api.tracking.v1 import alert_pb2
from penstock_dashboard.components.blocks import badge, when

__all__ = ["alert_list"]

_LEVELS = {
    alert_pb2.ALERT_LEVEL_INFO: ("info", "state-running"),
    alert_pb2.ALERT_LEVEL_WARN: ("warning", "state-killed"),
    alert_pb2.ALERT_LEVEL_ERROR: ("error", "state-failed"),
}


def alert_list(alerts: Sequence[alert_pb2.Alert], now_s: float, *, more: bool) -> Any:
    """The alerts, newest first; nothing if there are none.

    Args:
        alerts: The alerts.
        now_s: The time, seconds since 1970.
        more: Whether there are older ones.
    """
    if not alerts:
        return None
    count = f"{len(alerts)}{'+' if more else ''}"
    return html.Details(
        [
            html.Summary([_line(alerts[0], now_s), html.Span(count, className="section-count", title="Alerts")]),
            html.Ul([html.Li([_line(alert, now_s), html.P(alert.text) if alert.text else None]) for alert in alerts]),
        ],
        className="card alerts",
    )


def _line(alert: alert_pb2.Alert, now_s: float) -> html.Span:
    step = f"at step {alert.step:,}, " if alert.HasField("step") else ""
    time = alert.alert_time if alert.HasField("alert_time") else alert.create_time
    return html.Span(
        [
            badge(*_LEVELS.get(alert.level, ("alert", "state-running"))),
            html.Strong(alert.title),
            html.Span([step, when(time, now_s)], className="quiet"),
        ],
        className="alert-line",
    )
