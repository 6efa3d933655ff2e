"""The bytes of an index key sort like its values."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_kit.stores.contract.ordering import sort_key
from penstock_kit.stores.index_keys import encode, encode_fields, upper_bound

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**53 - 3, 2**53 + 3),
    st.integers(2**63 - 2_000, 2**63 - 1),
    st.floats(),
    st.integers(-5, 5).map(float),
    st.text(st.sampled_from("\0\x01ab\xff\uffff\U00010000"), max_size=4),
    st.binary(max_size=3),
)
fast = settings(max_examples=500, deadline=None, derandomize=True, database=None)


@fast
@given(st.lists(values, min_size=1, max_size=3), st.lists(values, min_size=1, max_size=3))
def test_encoded_values_compare_like_the_values(left: list[object], right: list[object]) -> None:
    expected_left, expected_right = [*map(sort_key, left)], [*map(sort_key, right)]
    assert (encode(left) < encode(right)) == (expected_left < expected_right)
    assert (encode(left) == encode(right)) == (expected_left == expected_right)


@fast
@given(
    st.lists(values, max_size=2), st.lists(values, max_size=3), st.text(st.sampled_from("\0a\U0010ffff"), max_size=2)
)
def test_a_prefix_bounds_exactly_the_keys_that_begin_with_its_values(
    prefix: list[object], whole: list[object], last: str
) -> None:
    key = encode(whole) + last.encode()
    within = encode(prefix) <= key < upper_bound(encode(prefix))
    begins = [*map(sort_key, whole[: len(prefix)])] == [*map(sort_key, prefix)]
    # An id is only ever beside keys with as many fields.
    if len(whole) >= len(prefix):
        assert within == begins


def test_neighbours_beyond_the_integers_of_a_double_stay_apart() -> None:
    numbers = [-(2**63), -(2**63) + 1, -(2**53) - 1, -(2**53), 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1, 2.0**63]
    keys = [encode([number]) for number in numbers]
    assert keys == sorted(set(keys))
    assert encode([2**53]) == encode([2.0**53])


def test_nan_is_one_value_below_all_numbers() -> None:
    assert encode([math.nan]) == encode([-math.nan]) < encode([-math.inf])


def test_fields_are_found_by_their_path() -> None:
    body = {"a": {"b": 1, "none": None}, "a.b": 2, "c": [1]}
    assert encode_fields(body, [("a", "b"), ("a", "none")]) == encode([1, None])
    for path in (("absent",), ("a", "absent"), ("a", "b", "deeper"), ("c", "0")):
        assert encode_fields(body, [path]) is None
    with pytest.raises(TypeError, match="list"):
        encode_fields(body, [("c",)])
    with pytest.raises(TypeError, match="dict"):
        encode_fields(body, [("a",)])
