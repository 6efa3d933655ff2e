"""The page of gates, drawn from the real services."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.installation import Installation, installation
from support.pages import drawn

from penstock.api.registry.v1 import gate_pb2
from penstock.client import Client
from penstock.errors import InvalidInput
from penstock_dashboard.pages import gates


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("gates")) as running:
        with Client(running.connection) as client:
            for project in ("guarded", "many"):
                client.create_project(project)
            _guard(client, "guarded")
        yield running


def floor(minimum: float) -> gate_pb2.GateCheck:
    return gate_pb2.GateCheck(id="floor", threshold=gate_pb2.ThresholdCheck(metric="acc", min=minimum))


def _guard(client: Client, project: str) -> None:
    for value in (0.85, 0.7, 0.9):
        client.register_version("Reader (v2)", project=project, metrics={"acc": value})
    protected = gate_pb2.ProtectedAlias(alias="production", gate_required=True)
    policy = gate_pb2.GatePolicy(
        checks=[floor(0.8)], protected_aliases=[protected], description="Agreed in May.\nMore."
    )
    client.set_gate_policy("Reader (v2)", policy, project=project)
    client.check_gate("Reader (v2)/1", project=project)
    client.promote("Reader (v2)/1", "production", project=project)
    protected.approvals_required = 2
    checks = [floor(0.8), *(gate_pb2.GateCheck(id=f"s{n}", size=gate_pb2.SizeCheck(max_bytes=9)) for n in range(6))]
    client.set_gate_policy("Reader (v2)", _with(policy, checks, protected), project=project)
    client.check_gate("Reader (v2)/2", project=project)
    client.approve_promotion("Reader (v2)/2", "production", project=project)
    client.set_gate_policy("Reader (v2)", _with(policy, checks[:1], protected), project=project)
    client.check_gate("Reader (v2)/3", project=project)
    client.approve_promotion("Reader (v2)/2", "production", project=project)
    client.register_version("unguarded", project=project)
    client.register_version("open", project=project)
    client.set_gate_policy("open", gate_pb2.GatePolicy(), project=project)


def _with(
    policy: gate_pb2.GatePolicy, checks: list[gate_pb2.GateCheck], protected: gate_pb2.ProtectedAlias
) -> gate_pb2.GatePolicy:
    return gate_pb2.GatePolicy(checks=checks, protected_aliases=[protected], description=policy.description)


def texts(part: Any) -> str:
    """What people read, without what is not shown."""
    if isinstance(part, str):
        return part
    if isinstance(part, list | tuple):
        return "".join(map(texts, part))
    return texts(getattr(part, "children", None) or "")


async def test_what_a_gate_is_where_there_is_none(server: Installation) -> None:
    page, text = await drawn(server, gates.draw)
    assert (page.title, page.project) == ("Gates · default", "default")
    assert "A gate is a policy of a registered model." in text
    assert "penstock gate set MODEL policy.json -p default" in text


async def test_gates_with_what_they_guard_and_found(server: Installation) -> None:
    page, text = await drawn(server, gates.draw, project="guarded")
    said = texts(page.content)
    assert "unguarded" not in said
    for expected in (
        "revision 3",
        "Agreed in May.",
        "floor 0.8 ≤ acc",
        "production → version 1",
        "by promotion: gate passed, 2 approvals",
        # That which passed last waits, and that which somebody approves.
        "Waits version 3 has 0 of 2 approvals",
        "Waits version 2 has 1 of 2 approvals: ",
        "Failed version 2",
        "of revision 2",
        "floor: acc is 0.7, below 0.8.",
        "and 4 more",
        "No checks.",
        "No alias: every one moves freely.",
        "No version was checked yet.",
    ):
        assert expected in said, expected
    for leads in ("models/Reader%20%28v2%29", "models/Reader%20%28v2%29/versions/3", "models/open"):
        assert f'"/projects/guarded/{leads}"' in text, leads
    assert "Agreed in May.\nMore." not in said
    assert "Next page" not in said


async def test_pages_of_gates(server: Installation) -> None:
    with Client(server.connection) as client:
        for number in range(gates.GATES_PER_PAGE + 1):
            client.create_model(f"m{number}", project="many")
            client.set_gate_policy(f"m{number}", gate_pb2.GatePolicy(), project="many")
    page, _ = await drawn(server, gates.draw, project="many")
    assert texts(page.content).count("revision 1") == gates.GATES_PER_PAGE
    assert "First page" not in texts(page.content)
    leads = [link.href for link in page.content.children[-1].children if hasattr(link, "href")]
    page, _ = await drawn(server, gates.draw, leads[0].removeprefix("/page"), project="many")
    said = texts(page.content)
    assert (said.count("revision 1"), "First page" in said, "Next page" in said) == (1, True, False)
    with pytest.raises(InvalidInput, match="page token"):
        await drawn(server, gates.draw, "?page=nonsense", project="many")
