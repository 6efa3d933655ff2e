"""The artifact service as a process: settings → stores → guard → serve."""

import asyncio
import os
import sys
from collections.abc import Mapping

from penstock_artifact.app import build, open_stores
from penstock_artifact.settings import ArtifactSettings
from penstock_kit import logs
from penstock_kit.application import serve
from penstock_kit.clock import SystemClock
from penstock_kit.listening import CannotListen, ServerSettings
from penstock_kit.parent import end_with_parent
from penstock_kit.settings import SettingsError, load
from penstock_kit.stores.embedded.sqlite import StoreFileError
from penstock_kit.stores.errors import StoreError
from penstock_kit.tokens import RemoteGuard

__all__ = ["main"]

_PREFIX = "PENSTOCK_ARTIFACT"


async def _run(environ: Mapping[str, str]) -> None:
    settings = load(ArtifactSettings, _PREFIX, environ)
    server_settings = load(ServerSettings, _PREFIX, environ)
    if server_settings.exit_with_parent:
        end_with_parent()
    clock = SystemClock()
    stores = await open_stores(settings, clock)
    guard = RemoteGuard(settings.auth_address, settings.service_credential_file, clock)
    try:
        application = build(settings, stores, clock)
        await guard.start()
        await serve(application, guard, server_settings, environ=environ)
    finally:
        await guard.close()
        await stores.close()  # a second time where serving closed them, which is harmless


def main() -> None:
    """Runs the service until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    logs.configure("artifact", sys.stderr)
    try:
        asyncio.run(_run(os.environ))
    except (SettingsError, StoreError, StoreFileError, CannotListen) as error:
        print(f"penstock-artifact: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
