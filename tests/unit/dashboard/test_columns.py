"""Which columns the runs table has before anybody chose."""

from penstock_dashboard.pages import runs


def test_params_that_differ_and_that_most_runs_have_come_first() -> None:
    values = {"a_rare": {"1"}, "batch": {"32", "64"}, "lr": {"0.1", "0.2"}, "same": {"x"}, "z_few": {"1", "2"}}
    holders = {"a_rare": 1, "batch": 10, "lr": 10, "same": 10, "z_few": 2}
    assert runs.useful_params(values, holders, 10) == ["lr", "batch", "z_few", "a_rare"]


def test_params_that_are_all_the_same() -> None:
    assert runs.useful_params({key: {"1"} for key in "cba"}, dict.fromkeys("cba", 2), 2) == ["a", "b"]
    assert runs.useful_params({}, {}, 0) == []


def test_metrics_without_numbers_are_counted_before_the_layers() -> None:
    keys = ["system/cpu", *(f"layer/{number}" for number in range(10_000)), "train/loss", "validation/accuracy"]
    counted = runs.counted_metrics(keys)
    assert counted[:3] == ["train/loss", "validation/accuracy", "layer/0"]
    assert len(counted) == runs.METRICS_COUNTED_MAX
