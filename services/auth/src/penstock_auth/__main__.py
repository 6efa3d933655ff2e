"""The auth service as a process: settings → stores → bootstrap → serve."""

from collections.abc import Mapping

from penstock_auth.app import build, open_stores
from penstock_auth.errors import StartError
from penstock_auth.settings import AuthSettings
from penstock_kit.application import serve
from penstock_kit.clock import SystemClock
from penstock_kit.process import run_process, server_settings
from penstock_kit.settings import load

__all__ = ["main"]

_PREFIX = "PENSTOCK_AUTH"


async def _run(environ: Mapping[str, str]) -> None:
    settings = load(AuthSettings, _PREFIX, environ)
    serving = server_settings(_PREFIX, environ)
    stores = await open_stores(settings)
    try:
        auth = build(settings, stores, SystemClock())
        setup_link = await auth.bootstrap()
        if setup_link is not None:
            # To the terminal, not into the log: whoever holds it signs in as the owner.
            print(f"First start. Sign in once within ten minutes, at /setup#{setup_link} of the dashboard.", flush=True)  # noqa: T201 - for the person at the terminal, never for the log
        await serve(auth.application, auth.guard, serving, environ=environ)
    finally:
        await stores.close()  # a second time where serving closed it, which is harmless


def main() -> None:
    """Runs the service until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    run_process("auth", _run, refusals=(StartError,))


if __name__ == "__main__":
    main()
