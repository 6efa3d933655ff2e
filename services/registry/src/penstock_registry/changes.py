"""What a move of an alias consists of, and when it may not be: the same for everybody who moves one."""

from collections.abc import Sequence
from typing import Any

from penstock_kit.ids import random_id
from penstock_registry.acting import chain_length
from penstock_registry.domain import (
    ALIASES_PER_MODEL_MAX,
    AliasMove,
    Event,
    EventType,
    Model,
    alias_reserved,
    is_prompt,
)
from penstock_registry.errors import AliasLimitReached, AliasMoved, AliasReserved
from penstock_registry.store import Step, event_operation, move_operation

__all__ = ["check_alias", "check_expected", "moved_alias", "new_event"]


def new_event(kind: EventType, model: Model, by: str, now_us: int, **fields: Any) -> Event:
    """An event about a model, with further fields of `Event`."""
    fields.setdefault("prompt", is_prompt(model.tags))
    return Event(random_id(), kind, now_us, by, model.model_id, chain_length=chain_length(), **fields)


def check_alias(alias: str) -> None:
    """Raises `AliasReserved` for an alias that means something of its own."""
    if alias_reserved(alias):
        raise AliasReserved(f"The alias {alias!r} is taken for what it seems to mean. Choose another.")


def check_expected(model: Model, alias: str, expected: int | None) -> None:
    """Raises `AliasMoved` if an alias does not point to the number that is expected, 0 for none; None expects nothing."""
    current = model.number_of(alias)
    if expected is not None and current != expected:
        here = f"version {current}" if current else "no version"
        raise AliasMoved(f"The alias {alias!r} points to {here}, not to {expected or 'none'}.", version=str(current))


def moved_alias(
    model: Model,
    alias: str,
    number: int,
    *,
    now_us: int,
    by: str,
    reason: str,
    verdict: str = "",
    approvers: Sequence[str] = (),
) -> Step:
    """A model with an alias moved, 0 deletes it, the move in its history, and the event. Raises `AliasLimitReached`."""
    before = model.number_of(alias)
    if number and not before and len(model.aliases) >= ALIASES_PER_MODEL_MAX:
        raise AliasLimitReached(f"The model has {ALIASES_PER_MODEL_MAX} aliases, which is the limit.")
    moved = model.with_alias(alias, number, now_us)
    move = AliasMove(
        alias=alias,
        from_number=before,
        to_number=number,
        principal=by,
        reason=reason,
        move_us=now_us,
        model_id=model.model_id,
        verdict=verdict,
        approvers=tuple(approvers),
    )
    event = new_event(
        EventType.ALIAS_MOVED if number else EventType.ALIAS_DELETED,
        model,
        by,
        now_us,
        version=number,
        alias=alias,
        former_version=before,
        reason=reason,
        verdict=verdict,
    )
    return Step(moved, [move_operation(moved, move), event_operation(event)])
