"""Quality gates through the client and the command line, against the real services behind the real gateway."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from penstock.api.registry.v1 import gate_pb2, model_pb2
from penstock.cli.failures import ExitStatus
from penstock.cli.main import build
from penstock.client.verdicts import text
from penstock.errors import Conflict, NotFound

pytestmark = pytest.mark.usefixtures("home")

POLICY: dict[str, Any] = {
    "checks": [
        {"id": "floor", "threshold": {"metric": "acc", "min": 0.75}},
        {"id": "delta", "delta": {"metric": "acc", "alias": "production", "goal": "METRIC_GOAL_MAXIMIZE"}},
    ],
    "protectedAliases": [{"alias": "production", "gateRequired": True}],
}


def run(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(build(), args, **kwargs)


def test_from_policy_to_promotion(project: Any) -> None:
    client, name = project.client, project.id
    for value in (0.8, 0.9, 0.7):
        client.register_version("reader", project=name, metrics={"acc": value})
    with pytest.raises(NotFound, match="no gate policy"):
        client.check_gate("reader/1", project=name)
    check = gate_pb2.GateCheck(id="floor", threshold=gate_pb2.ThresholdCheck(metric="acc", min=0.75))
    protected = gate_pb2.ProtectedAlias(alias="production", gate_required=True)
    policy = client.set_gate_policy(
        "reader", gate_pb2.GatePolicy(checks=[check], protected_aliases=[protected]), project=name
    )
    assert client.gate_policy("reader", project=name) == policy
    assert [(gate.model.rpartition("/")[2], gate.policy) for gate in client.gates(name)] == [("reader", policy)]
    with pytest.raises(Conflict) as protected_error:
        client.set_alias("reader", "production", 1, project=name)
    assert protected_error.value.reason == "ALIAS_PROTECTED"
    with pytest.raises(Conflict) as unchecked:
        client.promote("reader/2", "production", project=name)
    assert unchecked.value.reason == "GATE_NOT_PASSED"
    verdict = client.check_gate("reader/2", project=name)
    assert verdict.passed
    assert "passed the gate" in text(verdict)
    client.approve_promotion("reader/2", "production", project=name, comment="good")
    client.promote("reader/2", "production", project=name, reason="best")
    assert client.model_version("reader@production", project=name).number == 2
    measured = model_pb2.ModelMetric(key="acc", slice="fr", value=0.5, samples=[0.0, 1.0])
    client.record_evaluation("reader/3", [measured], project=name, request_id="once")
    client.record_evaluation("reader/3", {"acc": 0.76}, project=name)
    assert client.check_gate("reader/3", project=name).passed
    assert [v.version.rpartition("/")[2] for v in client.verdicts("reader", project=name)] == ["3", "2"]


def test_the_commands(project: Any, tmp_path: Path) -> None:
    name = project.id
    assert "No model has a gate policy" in run("gate", "list", "-p", name).output
    for value in ("0.8", "0.7"):
        assert run("model", "register", "reader", "-p", name, "--metric", f"acc={value}").exit_code == 0
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))
    assert run("gate", "set", "reader", str(policy), "-p", name).exit_code == 0
    shown = run("gate", "show", "reader", "-p", name)
    assert json.loads(shown.stdout)["revision"] == "1"
    # What was shown can be set again, once: it says what it was made from.
    policy.write_text(shown.stdout)
    assert run("gate", "set", "reader", str(policy), "-p", name).exit_code == 0
    assert run("gate", "set", "reader", str(policy), "-p", name).exit_code == ExitStatus.FAILED
    assert "never checked" in run("gate", "list", "-p", name).stdout

    good = run("gate", "check", "reader/1", "-p", name)
    assert good.exit_code == ExitStatus.DONE, good.output
    assert good.stdout.startswith("reader/1 passed the gate")
    assert run("gate", "promote", "reader/1", "production", "-p", name, "-m", "first").exit_code == 0

    bad = run("gate", "check", "reader/2", "-p", name)
    assert bad.exit_code == ExitStatus.NOT_PASSED
    assert "FAILED" in bad.stdout
    report = tmp_path / "gate.xml"
    result = run("gate", "check", "reader/2", "-p", name, "--format", "junit", "-o", str(report))
    assert result.exit_code == ExitStatus.NOT_PASSED
    assert ET.fromstring(report.read_text()).get("failures") == "2"
    said = run("gate", "check", "reader/2", "-p", name, "--format", "markdown")
    assert said.stdout.startswith("### reader/2 did not pass")
    document = json.loads(run("gate", "check", "reader/2", "-p", name, "--json").stdout)
    assert (document["passed"], document["results"][1]["improvement"]) == (False, pytest.approx(-0.1))
    refused = run("gate", "promote", "reader/2", "production", "-p", name)
    assert refused.exit_code == ExitStatus.FAILED
    assert "did not pass the gate: delta, floor" in refused.output
    assert "version 2 FAILED: floor, delta" in run("gate", "list", "-p", name).stdout
    listed = json.loads(run("gate", "list", "-p", name, "--json").stdout)
    assert (listed["revision"], listed["checks"]) == (2, ["floor", "delta"])
    protected = {"alias": "production", "version": 1, "gate_required": True, "approvals_required": 0}
    assert listed["protected_aliases"] == [protected]

    assert run("gate", "measure", "reader/2", "--metric", "acc=0.95", "-p", name).exit_code == 0
    assert run("gate", "check", "reader/2", "-p", name).exit_code == ExitStatus.DONE
    assert run("gate", "approve", "reader/2", "production", "-p", name).exit_code == 0
    assert run("gate", "promote", "reader/2", "production", "-p", name).exit_code == 0
    listed = run("gate", "verdicts", "reader", "-p", name, "--json").stdout.splitlines()
    assert json.loads(listed[0])["passed"] is True
    assert "passed" in run("gate", "verdicts", "reader", "-p", name).stdout
    policy.write_text("{")
    assert run("gate", "set", "reader", str(policy), "-p", name).exit_code == ExitStatus.USAGE
    assert run("gate", "check", "reader/9", "-p", name).exit_code == ExitStatus.NOT_FOUND
