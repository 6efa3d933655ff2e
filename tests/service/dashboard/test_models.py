"""The pages of models, drawn from the real services."""

from collections.abc import Iterator

import pytest
from support.installation import Installation, installation
from support.pages import drawn

from penstock.api.registry.v1 import gate_pb2, model_pb2
from penstock.client import Client
from penstock.errors import NotFound
from penstock_dashboard.pages import models


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("models")) as running:
        with Client(running.connection) as client:
            _fill(client)
        yield running


def _fill(client: Client) -> None:
    name = "Reader (v2)"
    signature = model_pb2.ModelSignature(inputs=[model_pb2.ModelField(name="x", datatype="FP32", shape=[-1, 64])])
    for value in (0.7, 0.9):
        client.register_version(
            name, model_pb2.ModelVersion(signature=signature), metrics={"acc": value}, description="# Better"
        )
    client.tag_model(name, {"team": "vision"})
    check = gate_pb2.GateCheck(id="floor", threshold=gate_pb2.ThresholdCheck(metric="acc", min=0.8, slices=["", "*"]))
    protected = gate_pb2.ProtectedAlias(alias="production", gate_required=True)
    client.set_gate_policy(name, gate_pb2.GatePolicy(checks=[check], protected_aliases=[protected]))
    client.check_gate(f"{name}/1")
    client.check_gate(f"{name}/2")
    client.promote(f"{name}/2", "production", reason="good enough")
    client.create_model("empty")


async def test_the_list_of_models(server: Installation) -> None:
    page, text = await drawn(server, models.draw)
    assert (page.title, page.project) == ("Models · default", "default")
    assert "/projects/default/models/Reader%20%28v2%29" in text
    assert "production → 2" in text
    assert "team=vision" in text
    _, text = await drawn(server, models.draw, "?filter=latest_version+%3D+0")
    assert "empty" in text
    assert "Reader" not in text
    _, text = await drawn(server, models.draw, "?filter=nonsense")
    assert "cannot be understood" in text


async def test_a_model_with_versions_gate_and_history(server: Installation) -> None:
    page, text = await drawn(server, models.draw_model, model="Reader%20%28v2%29")
    assert page.title == "Reader (v2)"
    for said in ("0.8 ≤ acc (all data, every slice)", "only by promotion, gate passed", "good enough", "none → 2"):
        assert said in text, said
    assert text.count("Failed") >= 1
    assert text.count("Passed") >= 1
    _, text = await drawn(server, models.draw_model, model="empty")
    assert "No version yet." in text
    assert "every alias moves freely" in text


async def test_a_version_with_its_metrics_and_verdict(server: Installation) -> None:
    page, text = await drawn(server, models.draw_version, model="Reader%20%28v2%29", number="1")
    assert page.title == "Reader (v2) / 1"
    for said in ("acc is 0.7, below 0.8.", "input x", "FP32 [-1, 64]", "# Better"):
        assert said in text, said


async def test_what_does_not_exist(server: Installation) -> None:
    with pytest.raises(NotFound):
        await drawn(server, models.draw_model, model="nothing")
    with pytest.raises(NotFound):
        await drawn(server, models.draw_version, model="empty", number="1")
