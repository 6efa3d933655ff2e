"""The auth service as a process: settings → stores → guard → serve."""

import asyncio
import os
import sys
from collections.abc import Mapping

from penstock_auth.app import build, open_stores
from penstock_auth.errors import StartError
from penstock_auth.settings import AuthSettings
from penstock_kit import logs
from penstock_kit.application import serve
from penstock_kit.clock import SystemClock
from penstock_kit.listening import CannotListen, ServerSettings
from penstock_kit.parent import end_with_parent
from penstock_kit.settings import SettingsError, load
from penstock_kit.stores.errors import StoreError

__all__ = ["main"]

_PREFIX = "PENSTOCK_AUTH"


async def _run(environ: Mapping[str, str]) -> None:
    settings = load(AuthSettings, _PREFIX, environ)
    server_settings = load(ServerSettings, _PREFIX, environ)
    if server_settings.exit_with_parent:
        end_with_parent()
    stores = await open_stores(settings)
    try:
        auth = build(settings, stores, SystemClock())
        setup_link = await auth.bootstrap()
        if setup_link is not None:
            # To the terminal, not into the log: whoever holds it signs in as the owner.
            print(f"First start. Sign in once within ten minutes, at /setup#{setup_link} of the dashboard.", flush=True)  # noqa: T201 - for the person at the terminal, never for the log
        await serve(auth.application, auth.guard, server_settings, environ=environ)
    finally:
        await stores.close()  # a second time where serving closed it, which is harmless


def main() -> None:
    """Runs the service until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    logs.configure("auth", sys.stderr)
    try:
        asyncio.run(_run(os.environ))
    except (SettingsError, StartError, StoreError, CannotListen) as error:
        print(f"penstock-auth: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
