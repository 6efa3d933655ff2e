"""Checks a version against a policy. Owns what each check means; numpy, no I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from penstock_registry.domain import Metric, ModelVersion
from penstock_registry.errors import GateTooCostly
from penstock_registry.gates.bootstrap import Difference, difference
from penstock_registry.gates.domain import (
    EVERY_SLICE,
    LATENCY_METRIC,
    Check,
    CheckResult,
    DeltaCheck,
    GatePolicy,
    LatencyCheck,
    Outcome,
    SignatureCheck,
    SizeCheck,
    ThresholdCheck,
)
from penstock_registry.gates.signatures import incompatibility

__all__ = ["RESAMPLED_SAMPLES_MAX", "RESULTS_MAX", "Measured", "evaluate"]

RESULTS_MAX: Final = 1_000
RESAMPLED_SAMPLES_MAX: Final = 200_000  # of both versions together: a few seconds of one core

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """A version and what was measured of it, by metric and slice; the newest value of each counts."""

    version: ModelVersion
    metrics: Mapping[Key, Metric]


def evaluate(policy: GatePolicy, candidate: Measured, references: Mapping[str, Measured | None]) -> list[CheckResult]:
    """Checks a version.

    Args:
        policy: What is checked.
        candidate: The version.
        references: The versions that the aliases of `reference_aliases` point to, None where they point to none.

    Raises `GateTooCostly`.
    """
    return _Evaluation(candidate, references).results(policy.checks)


@dataclass(slots=True)
class _Evaluation:
    candidate: Measured
    references: Mapping[str, Measured | None]
    resampled: dict[tuple[str, Key], Difference] = field(default_factory=dict)
    samples: int = 0

    def results(self, checks: Iterable[Check]) -> list[CheckResult]:
        found: list[CheckResult] = []
        for check in checks:
            match check:
                case ThresholdCheck():
                    found += [self._threshold(check, slice_) for slice_ in self._slices(check.metric, check.slices)]
                case DeltaCheck():
                    found += self._deltas(check)
                case LatencyCheck():
                    found.append(self._latency(check))
                case SizeCheck():
                    found.append(self._size(check))
                case SignatureCheck():
                    found.append(self._signature(check))
            if len(found) > RESULTS_MAX:
                raise GateTooCostly(f"The checks have more than {RESULTS_MAX:,} results: name fewer slices.")
        return found

    def _slices(self, metric: str, slices: Sequence[str], reference: Measured | None = None) -> list[str]:
        measured = {key[1] for key in self.candidate.metrics if key[0] == metric and key[1]}
        if reference is not None:
            measured |= {key[1] for key in reference.metrics if key[0] == metric and key[1]}
        found: dict[str, None] = {}
        for slice_ in slices or ("",):
            found.update(dict.fromkeys(sorted(measured) if slice_ == EVERY_SLICE else [slice_]))
        return list(found)

    def _threshold(self, check: ThresholdCheck, slice_: str) -> CheckResult:
        metric = self.candidate.metrics.get((check.metric, slice_))
        if metric is None:
            return _failed(check, f"{_name(check.metric, slice_)} was not measured.", check.metric, slice_)
        low, high = check.min, check.max
        if math.isnan(metric.value) or (low is not None and metric.value < low):
            outcome, bound, said = Outcome.FAILED, low, f"below {low:g}" if low is not None else "not a number"
        elif high is not None and metric.value > high:
            outcome, bound, said = Outcome.FAILED, high, f"above {high:g}"
        else:
            outcome, bound, said = Outcome.PASSED, low if low is not None else high, "within bounds"
        return CheckResult(
            check.id,
            outcome,
            f"{_name(check.metric, slice_)} is {metric.value:g}, {said}.",
            check.metric,
            slice_,
            value=metric.value,
            reference=bound,
        )

    def _deltas(self, check: DeltaCheck) -> list[CheckResult]:
        reference = self._reference(check)
        if isinstance(reference, CheckResult):
            return [reference]
        return [self._delta(check, slice_, reference) for slice_ in self._slices(check.metric, check.slices, reference)]

    def _delta(self, check: DeltaCheck, slice_: str, reference: Measured) -> CheckResult:
        key = check.metric, slice_
        mine, other = self.candidate.metrics.get(key), reference.metrics.get(key)
        name = _name(check.metric, slice_)
        where = f"version {reference.version.number} ({check.alias})"
        if mine is None:
            return _failed(check, f"{name} was not measured.", *key)
        if other is None:
            return _failed(check, f"{name} was not measured of {where}.", *key)
        sign = 1.0 if check.higher_is_better else -1.0
        improvement = sign * (mine.value - other.value)
        low = high = None
        paired = False
        if mine.samples and other.samples:
            resampled = self._difference(check.alias, key, mine, other)
            bounds = [sign * bound for bound in resampled.interval(check.confidence)]
            low, high, paired = min(bounds), max(bounds), resampled.paired
        elif check.samples_required:
            return _failed(check, f"{name} has no samples for both versions, so nobody knows how sure it is.", *key)
        decided = improvement if low is None else low
        # NaN is no improvement, so it must not pass by comparing false.
        passed = decided >= -check.regression_max
        sure = "" if low is None or high is None else f", {check.confidence:.1%} sure between {low:+g} and {high:+g}"
        return CheckResult(
            check.id,
            Outcome.PASSED if passed else Outcome.FAILED,
            f"{name} is {mine.value:g}, of {where} {other.value:g}: {improvement:+g} better{sure}; "
            f"at least {-check.regression_max:+g} is asked for.",
            *key,
            value=mine.value,
            reference=other.value,
            reference_number=reference.version.number,
            improvement=improvement,
            improvement_low=low,
            improvement_high=high,
            paired=paired,
        )

    def _difference(self, alias: str, key: Key, mine: Metric, other: Metric) -> Difference:
        found = self.resampled.get((alias, key))
        if found is None:
            one, two = np.frombuffer(mine.samples, "<f8"), np.frombuffer(other.samples, "<f8")
            self.samples += len(one) + len(two)
            if self.samples > RESAMPLED_SAMPLES_MAX:
                raise GateTooCostly(
                    f"The checks would resample more than {RESAMPLED_SAMPLES_MAX:,} samples: name fewer slices, or "
                    "record fewer of them."
                )
            found = self.resampled[alias, key] = difference(one, two)
        return found

    def _latency(self, check: LatencyCheck) -> CheckResult:
        metric = self.candidate.metrics.get((LATENCY_METRIC, ""))
        if metric is None or not metric.samples:
            return _failed(check, f"{LATENCY_METRIC} was not measured with samples.", LATENCY_METRIC, "")
        value = float(np.percentile(np.frombuffer(metric.samples, "<f8"), check.percentile))
        return CheckResult(
            check.id,
            Outcome.PASSED if value <= check.max_ms else Outcome.FAILED,
            f"The {check.percentile:g}th percentile of {LATENCY_METRIC} is {value:g}; at most {check.max_ms:g} is asked for.",
            LATENCY_METRIC,
            value=value,
            reference=check.max_ms,
        )

    def _size(self, check: SizeCheck) -> CheckResult:
        size = self.candidate.version.size_bytes
        if not size:
            return _failed(check, "The size of the files is not known.", "", "")
        return CheckResult(
            check.id,
            Outcome.PASSED if size <= check.max_bytes else Outcome.FAILED,
            f"The files take {size:,} bytes; at most {check.max_bytes:,} are asked for.",
            value=float(size),
            reference=float(check.max_bytes),
        )

    def _signature(self, check: SignatureCheck) -> CheckResult:
        reference = self._reference(check)
        if isinstance(reference, CheckResult):
            return reference
        number = reference.version.number
        new, old = self.candidate.version.signature, reference.version.signature
        if old is None:
            message, outcome = f"Version {number} ({check.alias}) has no signature to compare with.", Outcome.SKIPPED
        elif new is None:
            message, outcome = f"It has no signature, and version {number} ({check.alias}) has one.", Outcome.FAILED
        else:
            problem = incompatibility(new, old)
            outcome = Outcome.FAILED if problem else Outcome.PASSED
            message = problem or f"Clients of version {number} ({check.alias}) can use it."
        return CheckResult(check.id, outcome, message, reference_number=number)

    def _reference(self, check: DeltaCheck | SignatureCheck) -> Measured | CheckResult:
        """What to compare with, or that there is nothing."""
        reference = self.references[check.alias]
        if reference is None:
            return CheckResult(check.id, Outcome.SKIPPED, f"The alias {check.alias!r} points to no version yet.")
        number = reference.version.number
        if number == self.candidate.version.number:
            message = f"The alias {check.alias!r} points to this version."
            return CheckResult(check.id, Outcome.SKIPPED, message, reference_number=number)
        return reference


def _failed(check: Check, message: str, metric: str, slice_: str) -> CheckResult:
    return CheckResult(check.id, Outcome.FAILED, message, metric, slice_)


def _name(metric: str, slice_: str) -> str:
    return f"{metric} of {slice_}" if slice_ else metric
