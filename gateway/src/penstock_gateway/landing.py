"""The page at the root of a tracking URI: it leads links that MLflow's clients print to our pages, and others on."""

import hashlib
import re
from base64 import b64encode
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

__all__ = ["is_landing", "serve_landing"]

_PATHS: Final = re.compile(r"/|/projects/[^/]+/")


def is_landing(request: Request) -> bool:
    """Whether a browser asks for the root of a tracking URI."""
    asks = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    return asks and _PATHS.fullmatch(request.scope["path"]) is not None


async def serve_landing(_: Request) -> HTMLResponse:
    """Answers with the page."""
    page = resources.files("penstock_gateway").joinpath("landing.html").read_text(encoding="utf-8")
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; frame-ancestors 'none'"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})
