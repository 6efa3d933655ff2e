"""A run may be named by text, or be an open run."""

from types import SimpleNamespace

import pytest

from penstock.client.names import run_name, run_names
from penstock.errors import InvalidInput

NAME = f"projects/digits/runs/{'a' * 32}"


def test_an_open_run_is_as_good_as_its_name() -> None:
    assert run_name(SimpleNamespace(resource_name=NAME)) == NAME
    assert run_names(SimpleNamespace(resource_name=NAME)) == [NAME]
    assert run_names([NAME, SimpleNamespace(resource_name=NAME)]) == [NAME, NAME]


def test_runs_of_one_project() -> None:
    with pytest.raises(InvalidInput):
        run_names([NAME, NAME.replace("digits", "faces")])
