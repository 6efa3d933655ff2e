"""The dashboard as a child process, which is found wherever it is."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from penstock_local.child_process import ChildProcess

__all__ = ["dashboard_process"]


def dashboard_process(
    *,
    gateway_http: str,
    gateway_grpc: str,
    log_file: Path,
    port: int = 0,
    moved: Callable[[str], None] = lambda _: None,
) -> ChildProcess:
    """Returns the dashboard, not started.

    Args:
        gateway_http: The HTTP address of the gateway.
        gateway_grpc: The gRPC address of the gateway, `host:port`.
        log_file: Where its standard error goes.
        port: Where it listens; 0 takes a free one.
        moved: Called with its address whenever it is ready, and with an empty text when it is gone.
    """
    environment = {
        **os.environ,
        "PENSTOCK_DASHBOARD_ADDRESS": f"127.0.0.1:{port}",
        "PENSTOCK_DASHBOARD_GATEWAY_HTTP": gateway_http,
        "PENSTOCK_DASHBOARD_GATEWAY_GRPC": gateway_grpc,
        "PENSTOCK_DASHBOARD_EXIT_WITH_PARENT": "1",
    }
    return ChildProcess(
        "dashboard",
        "penstock_dashboard",
        environment,
        log_file,
        said=lambda line: moved(json.loads(line)["http"]),
        gone=lambda: moved(""),
    )
