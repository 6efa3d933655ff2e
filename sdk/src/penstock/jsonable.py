"""Values as JSON can hold them: the same wherever Penstock writes JSON for programs."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["iso", "jsonable"]


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: times in ISO 8601, NaN and the infinities as strings."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): jsonable(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(content) for content in value]
    return value


def iso(time: datetime) -> str:
    """A time in ISO 8601, UTC, with microseconds where there are any."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
