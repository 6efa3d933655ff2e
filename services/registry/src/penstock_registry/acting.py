"""Who makes a call, and how many events led to it: an automation that an event fired says so in what it does here."""

from contextvars import ContextVar
from typing import Any, Final

from penstock_kit.access import current_caller

__all__ = ["CHAIN_LENGTH_HEADER", "CHAIN_LENGTH_MAX", "acting", "chain_length"]

CHAIN_LENGTH_HEADER: Final = "penstock-chain-length"
CHAIN_LENGTH_MAX: Final = 1_000_000

_chain_length: ContextVar[int] = ContextVar("penstock_chain_length", default=0)


def acting(context: Any) -> str:
    """Returns who makes the call: the principal. Also notes how many events led to it, as its metadata says."""
    said = dict(context.invocation_metadata() or ()).get(CHAIN_LENGTH_HEADER, "")
    length = int(said) if isinstance(said, str) and said.isascii() and said.isdecimal() and len(said) < 8 else 0
    _chain_length.set(min(length, CHAIN_LENGTH_MAX))
    return current_caller().principal


def chain_length() -> int:
    """How many events led to what the current call does."""
    return _chain_length.get()
