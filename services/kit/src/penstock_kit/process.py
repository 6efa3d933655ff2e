"""A service as a process: settings → stores → guard → serve, and what is said to the person who starts it."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from penstock_kit import logs
from penstock_kit.application import Application, serve
from penstock_kit.clock import Clock, SystemClock
from penstock_kit.heaps import share_heaps
from penstock_kit.listening import CannotListen, ServerSettings
from penstock_kit.parent import end_with_parent
from penstock_kit.settings import SettingsError, load
from penstock_kit.stores.embedded.sqlite import StoreFileError
from penstock_kit.stores.errors import StoreError
from penstock_kit.tokens import RemoteGuard

__all__ = ["run_process", "run_service", "server_settings"]

_REFUSALS = (SettingsError, StoreError, StoreFileError, CannotListen)


class _Guarded(Protocol):
    """The settings of a service whose callers auth vouches for."""

    @property
    def auth_address(self) -> str: ...

    @property
    def service_credential_file(self) -> Path: ...


class _Stores(Protocol):
    async def close(self) -> None: ...


S = TypeVar("S", bound=_Guarded)
T = TypeVar("T", bound=_Stores)


def run_process(
    name: str,
    work: Callable[[Mapping[str, str]], Coroutine[Any, Any, None]],
    *,
    refusals: tuple[type[Exception], ...] = (),
) -> None:
    """Does the work of this process, and returns when it is done.

    Exits with 1 and one line on standard error where it cannot start, and with 130 after Ctrl-C.

    Args:
        name: Of the process, for the log and that line.
        work: Takes the environment, and ends by itself after SIGTERM or SIGINT.
        refusals: What else it raises, beside what settings, stores and listeners do, to say why it cannot start.
    """
    logs.configure(name, sys.stderr)
    share_heaps()
    try:
        asyncio.run(work(os.environ))
    except (*_REFUSALS, *refusals) as error:
        print(f"penstock-{name}: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def server_settings(prefix: str, environ: Mapping[str, str]) -> ServerSettings:
    """How a process serves. One that was told to ends with its parent from now on. Raises `SettingsError`."""
    settings = load(ServerSettings, prefix, environ)
    if settings.exit_with_parent:
        end_with_parent()
    return settings


def run_service(
    name: str,
    settings_type: type[S],
    open_stores: Callable[[S, Clock], Awaitable[T]],
    build: Callable[[S, T, Clock], Application],
) -> None:
    """Runs a service whose callers auth vouches for, until SIGTERM or SIGINT. See `run_process`.

    Args:
        name: Of the service; its settings are `PENSTOCK_<NAME>_...`.
        settings_type: Of its settings.
        open_stores: Opens its stores.
        build: Makes it over its stores, which it closes when it is closed.
    """
    prefix = f"PENSTOCK_{name.upper()}"

    async def work(environ: Mapping[str, str]) -> None:
        settings = load(settings_type, prefix, environ)
        serving = server_settings(prefix, environ)
        clock = SystemClock()
        stores = await open_stores(settings, clock)
        guard = RemoteGuard(settings.auth_address, settings.service_credential_file, clock)
        try:
            application = build(settings, stores, clock)
            await guard.start()
            await serve(application, guard, serving, environ=environ)
        finally:
            await guard.close()
            await stores.close()  # a second time where serving closed them, which is harmless

    run_process(name, work)
