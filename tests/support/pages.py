"""Pages of the dashboard, drawn from the real services without a browser."""

import json
from typing import Any

from plotly.utils import PlotlyJSONEncoder
from support.installation import Installation

from penstock.client import AsyncClient
from penstock_dashboard.pages.context import Drawn, Visit
from penstock_dashboard.settings import Settings

__all__ = ["drawn", "settings_of"]


def settings_of(server: Installation) -> Settings:
    """The settings of a dashboard of an installation."""
    return Settings(gateway_http=server.http, gateway_grpc=server.grpc)


async def drawn(server: Installation, page: Any, search: str = "", **parts: str) -> tuple[Drawn, str]:
    """A page of the project `default`, and all that it holds as text."""
    async with AsyncClient(server.connection) as client:
        visit = Visit("/page", search, {"project": "default", **parts}, settings_of(server))
        found = await page(client, visit)
    return found, json.dumps(found.content, cls=PlotlyJSONEncoder, ensure_ascii=False)
