"""The order of keys: numbers as numbers, and what most runs have before what few have."""

from penstock_dashboard import ordering


def test_numbers_in_keys_count_as_numbers() -> None:
    keys = ["layer/10", "layer/2", "Layer/1", "layer/2/w", "a", "10", "9", "layer/02"]
    assert ordering.natural(keys) == ["9", "10", "a", "Layer/1", "layer/02", "layer/2", "layer/2/w", "layer/10"]


def test_any_key_has_a_place() -> None:
    keys = ["٣", "1" * 250, "", "é1", "1é", "/"]
    assert sorted(ordering.natural(keys)) == sorted(keys)


def test_what_most_runs_have_comes_first_then_what_judges_then_short_names() -> None:
    holders = {"aaa/rare": 1, "train/loss": 8, "val/loss": 8, "lr": 8, "a_long_name": 8, "train/acc": 2}
    assert ordering.by_usefulness(holders, 8) == [
        "val/loss",
        "train/loss",
        "lr",
        "a_long_name",
        "train/acc",
        "aaa/rare",
    ]


def test_one_run_more_or_less_changes_no_order() -> None:
    assert ordering.by_usefulness({"a_long_name": 100, "short": 99}, 100) == ["short", "a_long_name"]
