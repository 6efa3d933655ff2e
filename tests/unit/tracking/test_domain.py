"""Runs and experiments: states, invariants, updates."""

import math

import pytest

from penstock_tracking.domain import (
    HEARTBEAT_LEASE_S,
    KEY_CHARS_MAX,
    PARAMS_PER_RUN_MAX,
    TAGS_PER_RUN_MAX,
    JsonText,
    LifecycleStage,
    Run,
    RunState,
    RunUpdates,
    apply_updates,
    key_problem,
    updates_problem,
    value_problem,
)

SECOND_US = 1_000_000


def a_run(**changes: object) -> Run:
    fields: dict[str, object] = {
        "project": "default",
        "run_id": "0" * 32,
        "log_key": b"k" * 16,
        "experiment_id": "0",
        "display_name": "swift-delta",
        "creator": "users/owner",
        "create_us": 1,
        "update_us": 1,
        "start_us": 1,
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type] - built by name


def test_finishing_twice_with_the_same_end_changes_nothing() -> None:
    run = a_run().finished(RunState.FINISHED, 5, "", 5)
    assert run.finished(RunState.FINISHED, 9, "", 9) is run
    assert run.finished(RunState.FAILED, 9, "boom", 9).state is RunState.FAILED


def test_resume_clears_the_end() -> None:
    run = a_run().finished(RunState.FAILED, 5, "boom", 5).resumed(7)
    assert (run.state, run.end_us, run.failure) == (RunState.RUNNING, None, "")
    assert run.resumed(8) is run


def test_a_silent_run_crashes_only_with_a_lease_and_only_after_it() -> None:
    heard = a_run().writer_opened(0, lease=True, now_us=10 * SECOND_US)
    limit = 10 * SECOND_US + HEARTBEAT_LEASE_S * SECOND_US
    assert not heard.lapsed(limit)
    assert heard.lapsed(limit + 1)
    assert not a_run().lapsed(limit * 100)
    crashed = heard.crashed(limit + 1)
    assert crashed.state is RunState.CRASHED
    assert crashed.end_us == 10 * SECOND_US


def test_a_crashed_run_that_is_heard_again_was_not_crashed() -> None:
    run = a_run().writer_opened(0, lease=True, now_us=1).crashed(2).heard(3)
    assert (run.state, run.end_us, run.failure, run.leased) == (RunState.RUNNING, None, "", True)


def test_a_finished_run_is_not_revived_by_a_heartbeat() -> None:
    run = a_run().finished(RunState.FINISHED, 5, "", 5)
    assert run.heard(9) is run


def test_ranks_are_collected_in_order() -> None:
    run = a_run().writer_opened(3, False, 1).writer_opened(0, False, 1).writer_opened(3, False, 1)
    assert run.ranks == (0, 3)


def test_deleting_and_restoring() -> None:
    run = a_run().deleted(5)
    assert run.lifecycle_stage is LifecycleStage.DELETED
    assert run.deleted(6) is run
    assert run.restored(7).active


def test_params_are_write_once_and_an_equal_repeat_is_fine() -> None:
    run = apply_updates(a_run(), RunUpdates(params=[("lr", 0.1), ("n", 1), ("x", math.nan)]), 2).run
    again = apply_updates(run, RunUpdates(params=[("lr", 0.1), ("x", math.nan)]), 3)
    assert again.run is run
    assert not again.conflicts
    other = apply_updates(run, RunUpdates(params=[("lr", 0.2), ("new", True)]), 3)
    assert [conflict.reason for conflict in other.conflicts] == ["PARAM_CONFLICT"]
    assert "0.1" in other.conflicts[0].message
    assert other.run.params["lr"] == 0.1
    assert other.run.params["new"] is True


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), (1, True), ("1", 1), (JsonText("1"), "1")])
def test_a_value_of_another_type_is_another_value(old: object, new: object) -> None:
    run = a_run(params={"k": old})
    assert apply_updates(run, RunUpdates(params=[("k", new)]), 2).conflicts  # type: ignore[list-item] - on purpose


def test_changing_a_param_keeps_its_history() -> None:
    run = a_run(params={"lr": 0.1}).param_changed("lr", 0.2, "users/owner", 9)
    assert run.params == {"lr": 0.2}
    assert [(c.key, c.value, c.replace_us) for c in run.param_history] == [("lr", 0.1, 9)]


def test_tags_are_set_and_removed_within_their_limit() -> None:
    full = a_run(tags={str(i): "" for i in range(TAGS_PER_RUN_MAX)})
    result = apply_updates(full, RunUpdates(tags=[("one more", "x"), ("7", "y")]), 2)
    assert [conflict.reason for conflict in result.conflicts] == ["TOO_MANY_TAGS"]
    assert result.run.tags["7"] == "y"
    swapped = apply_updates(full, RunUpdates(removed_tags=["7"], tags=[("one more", "x")]), 2)
    assert not swapped.conflicts
    assert "7" not in swapped.run.tags


def test_params_up_to_their_limit() -> None:
    room_for_one = a_run(params={str(i): i for i in range(PARAMS_PER_RUN_MAX - 1)})
    result = apply_updates(room_for_one, RunUpdates(params=[("a", 1), ("b", 2)]), 2)
    assert "a" in result.run.params
    assert [conflict.reason for conflict in result.conflicts] == ["TOO_MANY_PARAMS"]


def test_keys_at_their_limit() -> None:
    assert key_problem("k" * KEY_CHARS_MAX) is None
    assert key_problem("k" * (KEY_CHARS_MAX + 1)) is not None
    assert key_problem("") is not None
    assert key_problem("a\nb") is not None
    assert key_problem("a\x7fb") is not None
    assert key_problem("Verlust/prüfung ✓") is None


def test_values_at_their_limit() -> None:
    assert value_problem("x" * 8_000) is None
    assert value_problem("x" * 8_001) is not None
    assert value_problem(JsonText("9" * 32_000)) is None
    assert value_problem(JsonText("9" * 32_001)) is not None
    assert updates_problem(RunUpdates(tags=[("k", "x" * 8_001)])) is not None
    assert updates_problem(RunUpdates(tags=[("k", "x" * 8_000)])) is None
