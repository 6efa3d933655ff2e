"""A verdict as people and CI systems read it."""

from xml.etree import ElementTree as ET

from penstock.api.registry.v1 import gate_pb2
from penstock.client.records import verdict_record
from penstock.client.verdicts import junit, markdown, text

VERDICT = gate_pb2.Verdict(
    name="projects/p/models/reader/verdicts/" + "0" * 32,
    version="projects/p/models/reader/versions/3",
    policy_revision=2,
    passed=False,
    results=[
        gate_pb2.CheckResult(
            check="floor",
            outcome=gate_pb2.CHECK_OUTCOME_PASSED,
            message="acc is 0.9, within bounds.",
            metric="acc",
            value=0.9,
            reference=0.5,
        ),
        gate_pb2.CheckResult(
            check="delta",
            outcome=gate_pb2.CHECK_OUTCOME_FAILED,
            message="worse | than <before>\x1b[31m",
            metric="acc",
            slice="lang=`fr`",
            value=0.7,
            reference=0.8,
            improvement=-0.1,
            improvement_low=-0.2,
            improvement_high=0.05,
        ),
        gate_pb2.CheckResult(check="same", outcome=gate_pb2.CHECK_OUTCOME_SKIPPED, message="nothing to compare"),
    ],
)


def test_text() -> None:
    lines = text(VERDICT).splitlines()
    assert lines[0] == "reader/3 did not pass the gate (policy revision 2)."
    assert [line.split()[0] for line in lines[1:]] == ["passed", "FAILED", "skipped"]
    assert "\x1b" not in text(VERDICT)


def test_markdown_stays_one_table() -> None:
    lines = markdown(VERDICT).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 5
    assert "<before>" not in markdown(VERDICT)
    assert "worse \\| than" in rows[3]
    assert "-0.2 to 0.05" in rows[3]
    assert "\x1b" not in markdown(VERDICT)


def test_junit_is_read_by_whoever_reads_xml() -> None:
    suite = ET.fromstring(junit(VERDICT))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    cases = list(suite)
    assert [case.get("name") for case in cases] == ["floor", "delta [lang=`fr`]", "same"]
    failure = cases[1].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("worse | than <before>")
    assert cases[2].find("skipped") is not None


def test_a_record_keeps_all_evidence() -> None:
    first, second, third = verdict_record(VERDICT)["results"]
    assert (first["outcome"], first["reference"], first["improvement"]) == ("PASSED", 0.5, None)
    assert (second["improvement_low"], second["improvement_high"]) == (-0.2, 0.05)
    assert (third["outcome"], third["value"]) == ("SKIPPED", None)
