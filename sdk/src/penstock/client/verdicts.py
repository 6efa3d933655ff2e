"""A verdict of a quality gate as text, Markdown and JUnit XML: what people and CI systems read."""

from collections.abc import Callable, Mapping
from xml.etree import ElementTree as ET

from penstock.api.registry.v1 import gate_pb2

__all__ = ["FORMATS", "junit", "markdown", "text"]

_WORDS = {
    gate_pb2.CHECK_OUTCOME_PASSED: "passed",
    gate_pb2.CHECK_OUTCOME_FAILED: "FAILED",
    gate_pb2.CHECK_OUTCOME_SKIPPED: "skipped",
}


def text(verdict: gate_pb2.Verdict) -> str:
    """Lines for a terminal."""
    lines = [f"{_head(verdict)}."]
    width = max((len(_label(result)) for result in verdict.results), default=0)
    lines += [
        f"  {_WORDS[result.outcome]:7}  {_label(result):{width}}  {_printable(result.message)}"
        for result in verdict.results
    ]
    return "\n".join(lines) + "\n"


def markdown(verdict: gate_pb2.Verdict) -> str:
    """A table for a comment or a job summary."""
    lines = [
        f"### {_cell(_head(verdict))}",
        "",
        "| check | outcome | value | compared with | interval | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in verdict.results:
        word = _WORDS[result.outcome]
        low, high = _number(result, "improvement_low"), _number(result, "improvement_high")
        cells = [
            _label(result),
            f"**{word}**" if word.isupper() else word,
            _number(result, "value"),
            _number(result, "reference"),
            f"{low} to {high}" if low else "",
            result.message,
        ]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def junit(verdict: gate_pb2.Verdict) -> str:
    """A JUnit test suite with a test case per result, as CI systems read it."""
    counted = [result.outcome for result in verdict.results]
    suite = ET.Element(
        "testsuite",
        {
            "name": f"gate {_version(verdict)}",
            "tests": str(len(counted)),
            "failures": str(counted.count(gate_pb2.CHECK_OUTCOME_FAILED)),
            "skipped": str(counted.count(gate_pb2.CHECK_OUTCOME_SKIPPED)),
            "errors": "0",
            "time": "0",
        },
    )
    for result in verdict.results:
        case = ET.SubElement(
            suite, "testcase", {"classname": f"gate.{_version(verdict)}", "name": _label(result), "time": "0"}
        )
        if result.outcome == gate_pb2.CHECK_OUTCOME_FAILED:
            ET.SubElement(case, "failure", {"message": _printable(result.message)})
        elif result.outcome == gate_pb2.CHECK_OUTCOME_SKIPPED:
            ET.SubElement(case, "skipped", {"message": _printable(result.message)})
        else:
            ET.SubElement(case, "system-out").text = _printable(result.message)
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


FORMATS: Mapping[str, Callable[[gate_pb2.Verdict], str]] = {"text": text, "markdown": markdown, "junit": junit}
"""The formats by name."""


def _head(verdict: gate_pb2.Verdict) -> str:
    ended = "passed" if verdict.passed else "did not pass"
    return f"{_version(verdict)} {ended} the gate (policy revision {verdict.policy_revision})"


def _version(verdict: gate_pb2.Verdict) -> str:
    _, _, _, model, _, number = verdict.version.split("/")
    return _printable(f"{model}/{number}")


def _label(result: gate_pb2.CheckResult) -> str:
    return _printable(f"{result.check} [{result.slice}]" if result.slice else result.check)


def _number(result: gate_pb2.CheckResult, field: str) -> str:
    return f"{getattr(result, field):g}" if result.HasField(field) else ""


def _cell(content: str) -> str:
    """Text that stays in its cell and stays text: names come from whoever measured."""
    escaped = _printable(content).replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("`", "\\`").replace("[", "\\[")


def _printable(content: str) -> str:
    """Text without control characters, which a terminal would obey and XML cannot hold."""
    return "".join(character if character.isprintable() else "\ufffd" for character in content)
