"""Numbers, durations and times as people read them."""

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.tracking.v1 import run_pb2
from penstock_dashboard import formatting


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.123456789, "0.12346"),
        (0.5, "0.5"),
        (-0.5, "−0.5"),
        (1.0, "1"),
        (1234.5678, "1,234.6"),
        (9_999_999.0, "9,999,999"),
        (10_000_000.0, "1e7"),
        (3.2e-7, "3.2e-7"),
        (0.0001, "0.0001"),
        (0.00012345678, "0.00012346"),
        (-1.5e300, "−1.5e300"),
        (5e-324, "4.9407e-324"),
        (0.999999999, "1"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_number(x: float, text: str) -> None:
    assert formatting.number(x) == text


@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (-3, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.9, "59 s"),
        (60, "1 m 00 s"),
        (3599, "59 m 59 s"),
        (7500, "2 h 05 m"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_duration(length_s: float, text: str) -> None:
    assert formatting.duration(length_s) == text


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (0, "just now"),
        (-5, "just now"),
        (-3600, "1970-01-02 03:46:40 UTC"),
        (12, "12 s ago"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (86400 * 13, "13 d ago"),
        (86400 * 14, "1970-01-02"),
    ],
)
def test_relative_time(age_s: float, text: str) -> None:
    at = Timestamp(seconds=100_000)
    assert formatting.relative_time(at, now_s=100_000 + age_s) == text


def test_what_is_not_set_is_a_dash() -> None:
    nothing = Timestamp()
    assert formatting.relative_time(nothing, now_s=1) == "–"
    assert formatting.absolute_time(nothing) == "–"
    assert formatting.duration_between(nothing, nothing, now_s=1) == "–"


def test_a_run_without_end_lasts_until_now() -> None:
    assert formatting.duration_between(Timestamp(seconds=100), Timestamp(), now_s=142) == "42 s"
    assert formatting.duration_between(Timestamp(seconds=100), Timestamp(seconds=130), now_s=999) == "30 s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (run_pb2.Value(string_value="adam"), "adam"),
        (run_pb2.Value(int_value=-(2**63)), "-9223372036854775808"),
        (run_pb2.Value(double_value=0.1), "0.1"),
        (run_pb2.Value(double_value=0.30000000000000004), "0.30000000000000004"),
        (run_pb2.Value(double_value=math.nan), "NaN"),
        (run_pb2.Value(bool_value=True), "true"),
        (run_pb2.Value(json_value="[1,2]"), "[1,2]"),
        (run_pb2.Value(), ""),
    ],
)
def test_value(value: run_pb2.Value, text: str) -> None:
    assert formatting.value(value) == text


def test_count() -> None:
    assert formatting.count(1, "run") == "1 run"
    assert formatting.count(0, "run") == "0 runs"
    assert formatting.count(12345, "run") == "12,345 runs"


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (64_000_000, "64 MB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_sizes(n: int, text: str) -> None:
    assert formatting.size(n) == text
