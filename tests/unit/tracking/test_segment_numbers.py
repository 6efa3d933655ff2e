"""Columns as bytes: bit-exact, whatever is in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_tracking.segments.numbers import framed, packed, unframed, unpacked

words = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1 << 63, 0x7FF8000000000123, 0xFFF0000000000001, 0x7FF0000000000000, 0xFFF0000000000000]),
    st.floats(width=32, allow_nan=False).map(lambda value: int(np.float64(value).view(np.uint64))),
)


@given(st.lists(words, max_size=300), st.sampled_from([np.int64, np.float64]))
def test_a_column_comes_back_bit_by_bit(bits: list[int], dtype: type) -> None:
    column = np.array(bits, np.uint64).view(dtype)
    again = unpacked(packed(column), dtype, len(column))
    assert again.view(np.uint64).tolist() == bits


@pytest.mark.parametrize("nan", [0x7FF8000000000000, 0x7FF8000000000123, 0xFFF0000000000001, 0x7FF0DEADBEEF0001])
def test_nan_payloads_and_negative_zeros_among_rounded_values(nan: int) -> None:
    column = np.round(np.random.default_rng(1).normal(0, 1, 4_000), 2)
    column.view(np.uint64)[::7] = nan
    column[1::9] = -0.0
    again = unpacked(packed(column), np.float64, len(column))
    assert np.array_equal(again.view(np.uint64), column.view(np.uint64))
    assert len(packed(column)) < 2 * len(column)


def test_a_codec_that_errs_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    import penstock_tracking.segments.numbers as numbers

    class Erring:
        @staticmethod
        def simple_compress(column: np.ndarray, config: object) -> bytes:
            return bytes(10)

        @staticmethod
        def simple_decompress_into(data: bytes, column: np.ndarray) -> None:
            column[:] = 1

    monkeypatch.setattr(numbers._pcodec, "standalone", Erring)
    column = np.arange(100.0)
    assert packed(column)[0] == 0
    assert np.array_equal(unpacked(packed(column), np.float64, 100), column)


def test_columns_of_other_bytes_are_refused() -> None:
    column = np.arange(1_000)
    with pytest.raises(ValueError, match="instead of"):
        unpacked(packed(column), np.int64, 2_000)
    with pytest.raises(ValueError, match="unknown encoding"):
        unpacked(b"\x07abc", np.int64, 1)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_frames(parts: list[bytes]) -> None:
    assert [bytes(part) for part in unframed(framed(parts))] == parts
