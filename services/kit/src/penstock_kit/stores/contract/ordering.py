"""The order of index values, told again in the simplest way, so that an adapter's own encoding is checked against it."""

import math
from fractions import Fraction
from typing import Any

__all__ = ["sort_key"]


def sort_key(value: Any) -> tuple[int, Any]:
    """Returns what sorts and compares like an index value: by type (None, bool, numbers, str, bytes), then by value."""
    match value:
        case None:
            return 0, 0
        case bool():
            return 1, value
        case float() if math.isnan(value):
            return 2, (0, 0)
        case float() if math.isinf(value):
            return 2, (1 if value < 0 else 3, 0)
        case int() | float():
            return 2, (2, Fraction(value))
        case str():
            return 3, value
        case bytes():
            return 4, value
        case _:
            raise TypeError(f"an index field cannot hold a {type(value).__name__}")
