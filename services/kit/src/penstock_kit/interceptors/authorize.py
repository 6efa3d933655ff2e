"""Asks the guard whether the caller may do this there. During a stream it asks again and again."""

import asyncio
import re
from typing import Any

from penstock_kit.access import AccessGuard, AccessScope, current_caller
from penstock_kit.errors import Unavailable
from penstock_kit.interceptors.call import Call, MethodKind, Proceed
from penstock_kit.names import NameInvalid

__all__ = ["STREAM_AGE_S_MAX", "Authorize", "StreamTooOld", "projects_named"]

STREAM_AGE_S_MAX = 3_600.0
"""A stream ends after this time, to be opened anew with a fresh access token: the feed of revocations tells nothing of
tokens that ran out."""

_PROJECT = re.compile(r"projects/([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:/|\Z)")
_SHOWN_CHARS_MAX = 100


class StreamTooOld(Unavailable):
    """The stream was open for as long as a stream may be. Open it anew: nothing is lost."""

    reason = "STREAM_TOO_OLD"


class Authorize:
    """The stage.

    Args:
        guard: Who decides.
        recheck_s: How often a stream is checked anew.
    """

    def __init__(self, guard: AccessGuard, recheck_s: float) -> None:
        self._guard = guard
        self._recheck_s = recheck_s

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        await call.receive()
        rule = call.method.rule
        projects: list[str | None] = [None]
        if rule.scope is AccessScope.PROJECT:
            projects = list(projects_named(call.request, rule.resource_field))
        if rule.scope in (AccessScope.PROJECT, AccessScope.INSTALLATION):
            await self._authorize(call, projects)
        if call.method.kind is MethodKind.UNARY or rule.scope is AccessScope.PUBLIC:
            await proceed(call)
        else:
            await self._proceed_while_allowed(call, projects, proceed)

    async def _authorize(self, call: Call, projects: list[str | None]) -> None:
        for project in projects:
            await self._guard.authorize(current_caller(), call.method.rule.permission, project)

    async def _proceed_while_allowed(self, call: Call, projects: list[str | None], proceed: Proceed) -> None:
        handling = asyncio.current_task()
        assert handling is not None, "handlers run in tasks"
        refusal: Exception | None = None

        async def recheck() -> None:
            nonlocal refusal
            ends_s = asyncio.get_running_loop().time() + STREAM_AGE_S_MAX
            while refusal is None:
                await asyncio.sleep(self._recheck_s)
                try:
                    if call.method.rule.scope is AccessScope.AUTHENTICATED:
                        self._guard.authenticate(call.bearer)
                    else:
                        await self._authorize(call, projects)
                    if asyncio.get_running_loop().time() >= ends_s:
                        raise StreamTooOld("The stream was open for an hour: open it anew.")
                except Exception as error:  # a fault of the guard ends the stream too: nobody passes unchecked
                    refusal = error
            handling.cancel()

        checking = asyncio.create_task(recheck())
        try:
            await proceed(call)
        except asyncio.CancelledError:
            # Only our own cancellation is taken back: the transport's must go on.
            if refusal is None or handling.uncancel() > 0:
                raise
        finally:
            checking.cancel()
        if refusal is not None:
            raise refusal


def projects_named(request: Any, path: str) -> list[str]:
    """Returns the ids of the projects that a request names, each once, in order.

    Args:
        request: A message.
        path: Dotted path of the field with the name or names, `projects/{project}/...`.

    Raises:
        NameInvalid: There is no name, or one of them is malformed.
    """
    value = request
    for part in path.split("."):
        value = getattr(value, part)
    names = [value] if isinstance(value, str) else list(value)
    if not names:
        raise NameInvalid(f"{path} is empty: it names what this is about, as projects/my-project/...")
    found: dict[str, None] = {}
    for name in names:
        match = _PROJECT.match(name)
        if match is None:
            shown = name if len(name) <= _SHOWN_CHARS_MAX else name[:_SHOWN_CHARS_MAX] + "…"
            raise NameInvalid(f"{path} is {shown!r}, which is not of the form projects/my-project/...")
        found[match[1]] = None
    return list(found)
