"""Ids and names of runs."""

import re
import secrets
from typing import Final

from penstock.errors import InvalidInput, InvalidType

__all__ = ["checked_project", "checked_run_id", "made_up_name", "random_id"]

_PROJECT: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_ADJECTIVES: Final = (  # noqa: SIM905 - words read better than forty quoted lines
    "amber bold brisk calm clear cool deep eager fair fast fine fleet gentle glad grand green keen kind light lively loud "
    "mild misty neat noble plain proud quick quiet rapid ripe sharp silent smooth solid steady still strong swift warm wild"
).split()
_NOUNS: Final = (  # noqa: SIM905 - as above
    "brook canal cascade channel creek current dam delta drift eddy falls fjord flume ford gate gorge gulf harbor inlet lake "
    "lock marsh mill ocean pond pool rapids reef ridge ripple river shoal shore sluice spring strait stream surge tide "
    "turbine valley wave weir well"
).split()


def random_id() -> str:
    """32 hex digits."""
    return secrets.token_hex(16)


def made_up_name(run_id: str) -> str:
    """A name for people, such as `swift-river-482`. It need not be unique, and is the same in all ranks of a run."""
    rest, number = divmod(int(run_id, 16), 1000)
    rest, adjective = divmod(rest, len(_ADJECTIVES))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[rest % len(_NOUNS)]}-{number}"


def checked_project(project: object) -> str:
    """The id of a project. Raises `InvalidType`, `InvalidInput`."""
    if not isinstance(project, str):
        raise InvalidType(f"project must be a string, not {type(project).__name__}.")
    project = project.removeprefix("projects/")
    if not _PROJECT.match(project):
        proposal = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")[:63].rstrip("-")
        hint = f" For instance {proposal!r}." if _PROJECT.match(proposal) else ""
        raise InvalidInput(
            f"{project[:80]!r} is not the id of a project: 1 to 63 of a-z, 0-9 and -, starting with a letter, not ending "
            f"with -.{hint}"
        )
    return project


def checked_run_id(run_id: object, what: str) -> str:
    """The id of a run. Raises `InvalidType`, `InvalidInput`."""
    if not isinstance(run_id, str):
        raise InvalidType(f"{what} must be a string, not {type(run_id).__name__}.")
    if not _RUN_ID.match(run_id):
        raise InvalidInput(
            f"{what} must be 32 hex digits, as uuid.uuid4().hex makes them, not {run_id[:80]!r}. "
            "What people shall read goes into name=."
        )
    return run_id
