"""What the registry decides without stores."""

import pytest

from penstock_registry.domain import alias_reserved, retagged


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V12"])
def test_some_aliases_mean_something_of_their_own(alias: str) -> None:
    assert alias_reserved(alias)


@pytest.mark.parametrize("alias", ["production", "v", "v1b", "latest-good", "1"])
def test_others_are_free(alias: str) -> None:
    assert not alias_reserved(alias)


def test_what_is_both_set_and_removed_is_set() -> None:
    assert retagged({"a": "1", "b": "2"}, {"a": "3"}, ["a", "b", "c"]) == {"a": "3"}
