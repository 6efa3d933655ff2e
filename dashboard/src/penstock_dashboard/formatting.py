"""How values are written for people: numbers, durations, times, params.

Owns nothing but text. Knows nothing of Dash.
"""

import math
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.tracking.v1 import run_pb2

__all__ = [
    "absolute_time",
    "count",
    "duration",
    "duration_between",
    "number",
    "relative_time",
    "seconds",
    "size",
    "value",
]

SIGNIFICANT_DIGITS = 5
"""Digits of a metric that are shown; the full value is in the tooltip and the export."""
PLAIN_EXPONENT_MAX = 7
"""Numbers from 10 to this power on are written with an exponent."""
PLAIN_EXPONENT_MIN = -4
"""Numbers below 10 to this power are written with an exponent."""


def number(x: float) -> str:
    """A number with five significant digits: `0.12346`, `1,234.5`, `3.2e-07`, `NaN`, `∞`.

    Whole numbers below ten million keep all their digits.
    """
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    if float(x).is_integer() and abs(x) < 10**PLAIN_EXPONENT_MAX:
        return _minus(f"{int(x):,}")
    exponent = math.floor(math.log10(abs(x)))
    if exponent >= PLAIN_EXPONENT_MAX or exponent < PLAIN_EXPONENT_MIN:
        mantissa, power = f"{x:.{SIGNIFICANT_DIGITS - 1}e}".split("e")
        return _minus(f"{_trim(mantissa)}e{int(power)}")
    text = f"{x:,.{max(SIGNIFICANT_DIGITS - 1 - exponent, 0)}f}"
    return _minus(_trim(text))


def count(n: int, noun: str) -> str:
    """`1 run`, `1,234 runs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def size(n: int) -> str:
    """Bytes in units of 1,000: `0 B`, `999 B`, `1.5 kB`, `64 MB`, `1.2 TB`."""
    if n < 1000:
        return f"{n} B"
    x = float(n)
    for unit in ("kB", "MB", "GB", "TB"):
        x /= 1000
        if x < 999.5 or unit == "TB":
            return f"{x:.1f} {unit}" if x < 9.95 else f"{x:,.0f} {unit}"
    raise AssertionError("the last unit takes all")


def duration(length_s: float) -> str:
    """`0.4 s`, `42 s`, `3 m 12 s`, `2 h 05 m`, `3 d 4 h`."""
    if length_s < 0:
        length_s = 0.0
    if length_s < 10:
        return f"{length_s:.1f} s"
    whole = int(length_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def duration_between(start: Timestamp, end: Timestamp, *, now_s: float) -> str:
    """How long something took, or has been taking when it has no end yet."""
    begin_s = seconds(start)
    if begin_s is None:
        return "–"
    end_s = seconds(end)
    return duration((now_s if end_s is None else end_s) - begin_s)


def seconds(time: Timestamp) -> float | None:
    """Seconds since 1970 UTC; None when the timestamp is not set."""
    if not time.seconds and not time.nanos:
        return None
    return time.seconds + time.nanos / 1e9


def relative_time(time: Timestamp, *, now_s: float) -> str:
    """`just now`, `3 min ago`, `2 h ago`, `5 d ago`, then the date."""
    at_s = seconds(time)
    if at_s is None:
        return "–"
    age_s = now_s - at_s
    if age_s < 0:
        return "just now" if age_s > -60 else absolute_time(time)
    if age_s < 10:
        return "just now"
    if age_s < 60:
        return f"{int(age_s)} s ago"
    if age_s < 3600:
        return f"{int(age_s // 60)} min ago"
    if age_s < 86400:
        return f"{int(age_s // 3600)} h ago"
    if age_s < 14 * 86400:
        return f"{int(age_s // 86400)} d ago"
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def absolute_time(time: Timestamp) -> str:
    """`2026-11-28 03:35:12 UTC`."""
    at_s = seconds(time)
    return "–" if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def value(v: run_pb2.Value) -> str:
    """A param or summary entry as text; floats in their shortest exact form, because a param is compared by eye."""
    kind = v.WhichOneof("kind")
    if kind == "double_value":
        return number(v.double_value) if not math.isfinite(v.double_value) else repr(v.double_value)
    if kind == "bool_value":
        return "true" if v.bool_value else "false"
    return "" if kind is None else str(getattr(v, kind))


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
