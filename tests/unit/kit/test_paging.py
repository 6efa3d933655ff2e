"""Page tokens and page sizes."""

import base64
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.tracking.v1 import tracking_service_pb2 as tracking
from penstock_kit import paging
from penstock_kit.errors import InvalidInput
from penstock_kit.paging import PageTokenInvalid

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
STATES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(STATES)
def test_state_comes_back(state: Any) -> None:
    token = paging.seal("f", state)
    assert paging.open(token, "f") == state
    assert token.isascii()
    assert not set(token) & set("+/= ")


def test_token_of_another_request_is_refused() -> None:
    with pytest.raises(PageTokenInvalid, match="another request"):
        paging.open(paging.seal("f", 1), "g")


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_damaged_token_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        paging.open(token, "f")


@pytest.mark.parametrize("content", [[], [1], [1, b"x", 2, 3], {}, 7, [2, b"", 1]])
def test_token_of_another_form_is_refused(content: Any) -> None:
    packed: Any = msgpack.packb(content)
    with pytest.raises(PageTokenInvalid):
        paging.open(base64.urlsafe_b64encode(packed).decode(), "f")


def test_limit_of_a_token() -> None:
    with pytest.raises(PageTokenInvalid, match="4096"):
        paging.open("A" * (paging.PAGE_TOKEN_CHARS_MAX + 1), "f")


def test_fingerprint_covers_all_but_the_page_fields() -> None:
    request = tracking.ListExperimentsRequest(parent="projects/a", page_size=3, page_token="x")
    other = tracking.ListExperimentsRequest(parent="projects/a", page_size=9)
    assert paging.fingerprint(request) == paging.fingerprint(other)
    assert request.page_token == "x", "the request stays as it was"
    other.show_deleted = True
    assert paging.fingerprint(request) != paging.fingerprint(other)


def test_page_size() -> None:
    assert [paging.page_size(size) for size in (0, 1, 1_000, 1_001)] == [100, 1, 1_000, 1_000]
    assert paging.page_size(0, default=1_000, maximum=10_000) == 1_000
    with pytest.raises(InvalidInput):
        paging.page_size(-1)


def test_the_place_of_a_page_is_input() -> None:
    assert paging.place("", "request", bytes) is None
    assert paging.place(paging.seal("request", b"x"), "request", bytes) == b"x"
    with pytest.raises(PageTokenInvalid):
        paging.place(paging.seal("request", "x"), "request", bytes)
    with pytest.raises(PageTokenInvalid):
        paging.place(paging.seal("another", b"x"), "request", bytes)
