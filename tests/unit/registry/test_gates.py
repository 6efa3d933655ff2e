"""What each check of a gate means."""

import math
from typing import Any

import numpy as np
import pytest

from penstock_registry.domain import Field, Metric, ModelVersion, Signature
from penstock_registry.errors import GateTooCostly
from penstock_registry.gates.bootstrap import difference
from penstock_registry.gates.domain import (
    Check,
    CheckResult,
    DeltaCheck,
    GatePolicy,
    LatencyCheck,
    Outcome,
    SignatureCheck,
    SizeCheck,
    ThresholdCheck,
    policy_problem,
)
from penstock_registry.gates.evaluate import Measured, evaluate
from penstock_registry.gates.signatures import incompatibility

PASSED, FAILED, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED


def version(number: int = 2, **fields: Any) -> ModelVersion:
    values: dict[str, Any] = {
        "project": "p",
        "uid": "u",
        "number": number,
        "description": "",
        "tags": {},
        "artifact_manifest": "",
        "source_uri": "",
        "run_id": "",
        "run_link": "",
        "logged_model": "",
        "signature": None,
        "flavors": (),
        "metrics": (),
        "datasets": (),
        "size_bytes": 0,
        "creator": "",
        "create_us": 0,
        "update_us": 0,
    }
    return ModelVersion(**(values | fields))


def metric(key: str, value: float, samples: Any = (), part: str = "") -> Metric:
    return Metric(key, part, value, np.asarray(samples, "<f8").tobytes())


def measured(*metrics: Metric, number: int = 2, **fields: Any) -> Measured:
    return Measured(version(number, **fields), {(one.key, one.slice): one for one in metrics})


def results(check: Check, candidate: Measured, reference: Measured | None = None) -> list[CheckResult]:
    policy = GatePolicy(1, (check,), {}, "", "", 0)
    return evaluate(policy, candidate, {"production": reference})


def outcome(check: Check, candidate: Measured, reference: Measured | None = None) -> Outcome:
    (result,) = results(check, candidate, reference)
    return result.outcome


@pytest.mark.parametrize(
    ("value", "low", "high", "wanted"),
    [
        (0.9, 0.9, None, PASSED),
        (0.9, None, 0.9, PASSED),
        (0.899, 0.9, None, FAILED),
        (0.901, None, 0.9, FAILED),
        (0.5, 0.4, 0.6, PASSED),
        (math.nan, None, 1.0, FAILED),
        (math.inf, 0.0, None, PASSED),
    ],
)
def test_thresholds(value: float, low: float | None, high: float | None, wanted: Outcome) -> None:
    assert outcome(ThresholdCheck("c", "acc", (), low, high), measured(metric("acc", value))) is wanted


def test_what_was_not_measured_fails() -> None:
    candidate = measured(metric("acc", 0.9, part="lang=fr"))
    assert outcome(ThresholdCheck("c", "acc", (), 0.5, None), candidate) is FAILED
    assert outcome(LatencyCheck("c", 99, 5), candidate) is FAILED
    assert outcome(SizeCheck("c", 5), candidate) is FAILED


def test_every_slice_is_a_result_of_its_own() -> None:
    parts = (metric("acc", 0.9), metric("acc", 0.8, part="fr"), metric("acc", 0.3, part="de"))
    found = results(ThresholdCheck("c", "acc", ("", "*", "fr"), 0.5, None), measured(*parts))
    assert [(one.slice, one.outcome) for one in found] == [("", PASSED), ("de", FAILED), ("fr", PASSED)]


def delta(**fields: Any) -> DeltaCheck:
    values: dict[str, Any] = {
        "id": "c",
        "metric": "acc",
        "slices": (),
        "alias": "production",
        "higher_is_better": True,
        "regression_max": 0.0,
        "confidence": 0.95,
        "samples_required": False,
    }
    return DeltaCheck(**(values | fields))


@pytest.mark.parametrize(
    ("mine", "other", "fields", "wanted"),
    [
        (0.9, 0.8, {}, PASSED),
        (0.8, 0.9, {}, FAILED),
        (0.8, 0.9, {"higher_is_better": False}, PASSED),
        (0.85, 0.9, {"regression_max": 0.06}, PASSED),
        (0.85, 0.9, {"regression_max": 0.04}, FAILED),
        (0.91, 0.9, {"regression_max": -0.05}, FAILED),
        (math.nan, 0.9, {}, FAILED),
        (0.9, 0.8, {"samples_required": True}, FAILED),
    ],
)
def test_deltas_of_values(mine: float, other: float, fields: Any, wanted: Outcome) -> None:
    assert outcome(delta(**fields), measured(metric("acc", mine)), measured(metric("acc", other), number=1)) is wanted


def test_there_may_be_nothing_to_compare_with() -> None:
    assert outcome(delta(), measured(metric("acc", 0.1))) is SKIPPED
    itself = measured(metric("acc", 0.1))
    assert outcome(delta(), itself, itself) is SKIPPED
    assert outcome(delta(), measured(metric("acc", 0.9)), measured(number=1)) is FAILED
    assert outcome(delta(), measured(), measured(metric("acc", 0.9), number=1)) is FAILED


def test_a_slice_that_got_lost_fails() -> None:
    mine = measured(metric("acc", 0.9, part="fr"))
    other = measured(metric("acc", 0.8, part="fr"), metric("acc", 0.8, part="de"), number=1)
    found = results(delta(slices=("*",)), mine, other)
    assert [(one.slice, one.outcome) for one in found] == [("de", FAILED), ("fr", PASSED)]


def test_a_difference_that_may_be_chance_does_not_pass() -> None:
    noisy, more = np.tile([0.6, 1.0], 25), np.tile([0.62, 1.02], 30)
    (result,) = results(
        delta(),
        measured(metric("acc", float(more.mean()), more)),
        measured(metric("acc", float(noisy.mean()), noisy), number=1),
    )
    assert result.outcome is FAILED
    assert result.improvement_low is not None
    assert result.improvement_high is not None
    assert result.improvement_low < 0 < result.improvement_high
    assert not result.paired
    # The same difference with a margin for it passes.
    assert (
        outcome(
            delta(regression_max=0.2),
            measured(metric("acc", float(more.mean()), more)),
            measured(metric("acc", float(noisy.mean()), noisy), number=1),
        )
        is PASSED
    )


def test_the_same_examples_are_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(7)
    other = rng.normal(0.8, 0.2, 200)
    mine = other + rng.normal(0.01, 0.01, 200)
    pair = (
        measured(metric("acc", float(mine.mean()), mine)),
        measured(metric("acc", float(other.mean()), other), number=1),
    )
    (result,) = results(delta(), *pair)
    assert (result.outcome, result.paired) == (PASSED, True)
    # Not in pairs, so small a difference would drown.
    assert difference(mine[:199], other).interval(0.95)[0] < 0
    # Smaller is better: the bounds change places.
    (result,) = results(delta(higher_is_better=False), *pair)
    assert result.outcome is FAILED
    assert result.improvement_low is not None
    assert result.improvement is not None
    assert result.improvement_low < result.improvement < 0


def test_an_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        one, other = rng.normal(1.0, 1.0, 80), rng.normal(0.5, 1.0, 90)
        low, high = difference(one, other).interval(0.9)
        covered += low <= 0.5 <= high
    assert 165 <= covered <= 193, covered


def test_the_same_samples_give_the_same_interval() -> None:
    one, other = np.arange(10.0), np.arange(12.0)
    assert difference(one, other).interval(0.95) == difference(one, other).interval(0.95)


def test_infinite_samples_pass_nothing() -> None:
    mine = measured(metric("acc", math.inf, [math.inf, 1.0]))
    other = measured(metric("acc", math.inf, [math.inf, 1.0]), number=1)
    assert outcome(delta(), mine, other) is FAILED


def test_too_many_samples_are_refused() -> None:
    parts = [metric("acc", 0.5, np.zeros(10_000), part=str(n)) for n in range(11)]
    with pytest.raises(GateTooCostly):
        results(delta(slices=("*",)), measured(*parts), measured(*parts, number=1))


def test_latency_is_a_percentile_of_samples() -> None:
    candidate = measured(metric("latency_ms", 50.5, np.arange(1.0, 101.0)))
    assert outcome(LatencyCheck("c", 50, 50.5), candidate) is PASSED
    assert outcome(LatencyCheck("c", 99, 50.5), candidate) is FAILED
    assert outcome(LatencyCheck("c", 100, 100.0), candidate) is PASSED


def test_size() -> None:
    assert outcome(SizeCheck("c", 100), measured(size_bytes=100)) is PASSED
    assert outcome(SizeCheck("c", 100), measured(size_bytes=101)) is FAILED


def field(name: str = "x", datatype: str = "FP32", shape: tuple[int, ...] = (-1, 64), optional: bool = False) -> Field:
    return Field(name, datatype, shape, optional)


X, Y = field(), field("y")


def signature(inputs: Any = (X,), outputs: Any = (Y,), params: Any = ()) -> Signature:
    return Signature(tuple(inputs), tuple(outputs), tuple(params))


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (signature(), ""),
        (signature(inputs=[field(), field("more", optional=True)]), ""),
        (signature(outputs=[field("y"), field("more")]), ""),
        (signature(inputs=[field(shape=(-1, -1))]), ""),
        (signature(outputs=[field("y", shape=(8, 64))]), ""),
        (signature(inputs=[field(), field("more")]), "asks for the input 'more'"),
        (signature(inputs=[]), "does not take the input 'x'"),
        (signature(inputs=[field(datatype="INT64")]), "as INT64, not as FP32"),
        (signature(inputs=[field(shape=(1, 64))]), "with the shape [1, 64]"),
        (signature(inputs=[field(shape=(-1, 64, 1))]), "with the shape"),
        (signature(outputs=[]), "does not return the output 'y'"),
        (signature(outputs=[field("y", shape=(-1, -1))]), "returns the output 'y' with the shape"),
        (signature(params=[field("t")]), "asks for the param 't'"),
    ],
)
def test_signatures(new: Signature, said: str) -> None:
    problem = incompatibility(new, signature())
    assert said in problem
    assert bool(problem) == bool(said)


def test_a_signature_check_compares_with_the_alias() -> None:
    check = SignatureCheck("c", "production")
    old = measured(number=1, signature=signature())
    assert outcome(check, measured(signature=signature()), old) is PASSED
    assert outcome(check, measured(signature=signature(inputs=[])), old) is FAILED
    assert outcome(check, measured(), old) is FAILED
    assert outcome(check, measured(), measured(number=1)) is SKIPPED
    assert outcome(check, measured()) is SKIPPED


def test_a_policy_that_makes_no_sense() -> None:
    def problem(*checks: Check) -> str:
        return policy_problem(GatePolicy(1, checks, {}, "", "", 0))

    assert problem(SizeCheck("a", 1), SizeCheck("b", 1)) == ""
    assert "'a'" in problem(SizeCheck("a", 1), SizeCheck("a", 2))
    assert "no bound" in problem(ThresholdCheck("a", "m", (), None, None))
    assert "latest" in problem(SignatureCheck("a", "latest"))
