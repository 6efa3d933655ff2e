"""How values of unknown type are read: a text as a number or truth value, anything as text."""

import math
import re

__all__ = ["INTEGER_MAX", "Value", "read_bool", "read_number", "text_of"]

Value = str | int | float | bool
"""What a param, a tag or a summary entry holds. JSON values are their text."""

INTEGER_MAX = 2**53
"""Up to here every integer has a float of its own."""

_NUMBER_RE = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.IGNORECASE)


def read_number(text: str) -> float | None:
    """The number that a text spells as a filter would, None if it spells none."""
    return float(text) if _NUMBER_RE.fullmatch(text) else None


def read_bool(text: str) -> bool | None:
    """The truth value that a text spells in any case, None if it spells none."""
    return {"true": True, "false": False}.get(text.lower()) if len(text) <= len("false") else None


def text_of(value: Value) -> str:
    """The canonical text of a value: `true`, `7`, `0.001`, `1e-05`, `NaN`, `inf`. Both zeros of floats are `0.0`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value + 0.0)
    return str(value)
