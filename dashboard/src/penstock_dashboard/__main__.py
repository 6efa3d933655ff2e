"""`python -m penstock_dashboard`: reads the settings, serves until SIGTERM or SIGINT.

When it accepts connections it prints one line of JSON on standard output: `{"http": "http://127.0.0.1:7072"}`.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator

import uvicorn

from penstock_dashboard import settings as settings_module
from penstock_dashboard.app import build
from penstock_dashboard.settings import Settings, SettingsError

DRAIN_S = 3
"""How long open requests may take to end."""


class _Server(uvicorn.Server):
    """Says where it listens as soon as it does, and ends with exit code 0 when it is told to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Drains on SIGTERM and SIGINT. Unlike the original it does not raise the signal again after that."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started or self.should_exit:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        sys.stdout.write(json.dumps({"http": address}) + "\n")
        sys.stdout.flush()


async def _serve(settings: Settings) -> None:
    dashboard = build(settings)
    config = uvicorn.Config(
        dashboard.asgi,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    if settings.exit_with_parent:
        _watch_parent(loop, server)
    try:
        await server.serve()
    finally:
        await dashboard.close()


def _watch_parent(loop: asyncio.AbstractEventLoop, server: uvicorn.Server) -> None:
    """Ends the server when standard input ends, which it does when the parent dies, however it dies.

    A thread, because not every event loop can wait for a pipe.
    """

    def stop() -> None:
        server.should_exit = True

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, name="watch-parent", daemon=True).start()


def main() -> None:
    """Runs the dashboard. Exits with 2 when a setting is wrong."""
    try:
        settings = settings_module.load(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(2) from None
    asyncio.run(_serve(settings))


if __name__ == "__main__":
    main()
