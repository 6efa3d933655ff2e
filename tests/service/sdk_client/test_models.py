"""The registry through the client and the command line, against the real services behind the real gateway."""

import asyncio
import json
from typing import Any

import pytest
from support.installation import Installation
from typer.testing import CliRunner

from penstock.api.registry.v1 import model_pb2
from penstock.cli.main import build
from penstock.client import AsyncClient, Client
from penstock.errors import AlreadyExists, Conflict, InvalidInput, NotFound

pytestmark = pytest.mark.usefixtures("home")


def run(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(build(), args, **kwargs)


def said(*args: str, **kwargs: Any) -> list[Any]:
    """What a command prints with --json, by line."""
    result = run(*args, "--json", **kwargs)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_model_from_run_to_alias(project: Any) -> None:
    client, name = project.client, project.id
    trained = project.new_run()
    made = client.register_version("reader", project=name, run=trained, metrics={"acc": 0.9}, tags={"a": "1"})
    assert made.name == f"projects/{name}/models/reader/versions/1"
    assert made.run == trained
    signature = model_pb2.ModelSignature(inputs=[model_pb2.ModelField(name="x", datatype="FP32", shape=[-1, 64])])
    more = client.register_version(made.name.rpartition("/versions/")[0], model_pb2.ModelVersion(signature=signature))
    assert (more.number, more.signature) == (2, signature)
    client.set_alias("reader", "production", 1, project=name, reason="first")
    assert client.model_version("reader@production", project=name).number == 1
    assert client.model_version("reader@latest", project=name).number == 2
    with pytest.raises(Conflict, match="points to version 1"):
        client.set_alias("reader", "production", 2, project=name, expected_version=0)
    assert [move.reason for move in client.alias_moves("reader", project=name)] == ["first"]
    assert [version.number for version in client.model_versions(name, model="reader")] == [2, 1]
    found = client.model_versions(name, model="reader", filter="metrics.acc > 0.5 or tags.a = 'x'")
    assert found.to_arrow().select(["model", "version", "metrics.acc"]).to_pylist() == [
        {"model": "reader", "version": 1, "metrics.acc": 0.9}
    ]
    assert [model.name for model in client.models(name, filter="aliases.production = 1")] == [
        f"projects/{name}/models/reader"
    ]
    client.delete_alias("reader", "production", project=name)
    with pytest.raises(NotFound):
        client.model_version("reader@production", project=name)
    with pytest.raises(AlreadyExists):
        client.create_model("reader", project=name)
    assert dict(client.tag_model("reader", {"t": "1"}, project=name).tags) == {"t": "1"}
    assert dict(client.tag_model_version("reader/1", {"b": "2"}, remove=["a"], project=name).tags) == {"b": "2"}


def test_a_version_that_makes_no_sense_makes_no_model_either(project: Any) -> None:
    with pytest.raises(InvalidInput):
        project.client.register_version("reader", project=project.id, artifact_manifest="beef")
    assert project.client.models(project.id).to_list() == []


async def test_many_register_a_new_model_at_once(server: Installation) -> None:
    async with AsyncClient(server.connection) as client:
        made = await asyncio.gather(*(client.register_version("crowd", metrics={"m": n}) for n in range(8)))
    assert sorted(version.number for version in made) == list(range(1, 9))


def test_the_commands(project: Any, server: Installation) -> None:
    name, trained = project.id, project.new_run()
    (made,) = said("model", "register", "reader", "-p", name, "--run", trained, "--metric", "acc=0.9", "--tag", "a=b")
    assert (made["version"], made["metrics"], made["tags"], made["run"]) == (1, {"acc": 0.9}, {"a": "b"}, trained)
    more = json.dumps({"flavors": [{"name": "onnx"}], "sizeBytes": 5})
    (second,) = said("model", "register", "reader", "-p", name, "--file", "-", input=more)
    assert (second["flavors"], second["size_bytes"]) == (["onnx"], 5)
    said("model", "alias", "reader/1", "production", "-p", name, "-m", "first")
    said("model", "alias", "reader/2", "production", "-p", name, "-m", "second")
    said("model", "alias", "reader@production", "previous", "-p", name)
    (shown,) = said("model", "show", "reader", "-p", name)
    assert shown["aliases"] == {"previous": 2, "production": 2}
    assert [v["version"] for v in said("model", "versions", "reader", "-p", name)] == [2, 1]
    (shown,) = said("model", "show", "reader@production", "-p", name)
    assert (shown["version"], shown["aliases"]) == (2, ["previous", "production"])
    moves = said("model", "moves", "reader", "production", "-p", name)
    assert [(move["from_version"], move["to_version"], move["reason"]) for move in moves] == [
        (1, 2, "second"),
        (None, 1, "first"),
    ]
    assert said("model", "tag", "reader", "x=1", "-p", name)[0]["tags"] == {"x": "1"}
    assert said("model", "tag", "reader/1", "a=", "c=d", "-p", name)[0]["tags"] == {"c": "d"}
    for command in (["list"], ["versions", "reader"], ["show", "reader/1"], ["moves", "reader"]):
        result = run("model", *command, "-p", name)
        assert result.exit_code == 0, result.output
        assert "reader" in result.output or "production" in result.output
    assert run("model", "unalias", "reader", "previous", "-p", name).exit_code == 0
    assert run("model", "rename", "reader", "digit reader", "-p", name).exit_code == 0
    assert run("model", "delete", "digit reader/1", "-p", name, "--yes").exit_code == 0
    assert run("model", "delete", "digit reader", "-p", name).exit_code != 0, "nobody was asked"
    assert run("model", "delete", "digit reader", "-p", name, "--yes").exit_code == 0
    assert said("model", "list", "-p", name) == []
    said("model", "create", "empty", "-p", name)
    assert run("model", "show", "nothing", "-p", name).exit_code != 0
    for wrong in (["register", "x", "--metric", "acc"], ["register", "x", "--metric", "acc=good"]):
        assert run("model", *wrong, "-p", name).exit_code == 2
    with Client(server.connection) as client:
        assert [model.name for model in client.models(name)] == [f"projects/{name}/models/empty"]
