# Generated from _async/alerts.py by deploy/tools/unasync.py. Change that one.
"""What a client asks of the tracking service about alerts: what runs had to say to people."""

from collections.abc import Sequence
from typing import Any

from penstock.api.tracking.v1 import alert_pb2, tracking_service_pb2
from penstock.client import records
from penstock.client._sync.paging import Pages
from penstock.client.names import Named, project_name, run_name

__all__ = ["Alerts"]


class Alerts:
    """The part of a client that reads alerts."""

    tracking: Any

    def alerts(
        self, run: "str | Named | None" = None, *, project: str = "default", limit: int | None = None
    ) -> Pages[alert_pb2.Alert]:
        """The alerts of a run, newest first; without one, those of all runs of a project.

        Args:
            run: The run, by its full name, or by its id in the project.
            project: The project.
            limit: How many at most.
        """
        parent = project_name(project) if run is None else run_name(run, project)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[alert_pb2.Alert], str]:
            response = self.tracking.ListAlerts(
                tracking_service_pb2.ListAlertsRequest(parent=parent, page_size=page_size, page_token=page_token)
            )
            return response.alerts, response.next_page_token

        return Pages(fetch, records.alert_record, ["name", "title"], limit)
