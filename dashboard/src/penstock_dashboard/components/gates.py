"""What the pages of models and of gates say alike: a check in words, a verdict as a badge."""

from collections.abc import Sequence

from dash import html

from penstock.api.registry.v1 import gate_pb2
from penstock_dashboard import formatting
from penstock_dashboard.components import blocks

__all__ = ["check_text", "verdict_badge"]


def check_text(check: gate_pb2.GateCheck) -> str:
    """What a check asks for, in a line."""
    match check.WhichOneof("kind"):
        case "threshold":
            rule = check.threshold
            low = f"{formatting.number(rule.min)} ≤ " if rule.HasField("min") else ""
            high = f" ≤ {formatting.number(rule.max)}" if rule.HasField("max") else ""
            return f"{low}{rule.metric}{high}{_slices(rule.slices)}"
        case "delta":
            rule = check.delta
            margin = f" by more than {formatting.number(rule.regression_max)}" if rule.regression_max else ""
            sure = f"{rule.confidence:.1%} sure"
            return f"{rule.metric} not worse than {rule.alias}{margin}, {sure}{_slices(rule.slices)}"
        case "latency":
            return f"latency, {check.latency.percentile:g}th percentile ≤ {formatting.number(check.latency.max_ms)} ms"
        case "size":
            return f"size ≤ {check.size.max_bytes:,} bytes"
        case _:
            return f"clients of {check.signature.alias} can use it"


def verdict_badge(verdict: gate_pb2.Verdict | None) -> html.Span | None:
    """Whether a version passed; nothing if it was not checked."""
    if verdict is None:
        return None
    return blocks.badge("passed", "state-finished") if verdict.passed else blocks.badge("failed", "state-failed")


def _slices(slices: Sequence[str]) -> str:
    named = ["every slice" if one == "*" else one or "all data" for one in slices]
    return f" ({', '.join(named)})" if named else ""
