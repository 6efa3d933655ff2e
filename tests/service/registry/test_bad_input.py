"""What anybody may send: damaged page tokens, names that lead elsewhere, texts at their limits."""

from typing import Any

import grpc
import msgpack
import pytest
from support.registry import MODEL, PROJECT, Registry, pb

from penstock.api.registry.v1 import gate_pb2, model_pb2
from penstock_kit import paging

Code = grpc.StatusCode


def requests(page_token: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every list that pages, with a token."""
    token = {"page_token": page_token}
    return [
        ("ListAliasMoves", {"parent": MODEL, **token}),
        ("ListEvaluations", {"parent": f"{MODEL}/versions/1", **token}),
        ("ListGates", {"parent": PROJECT, **token}),
        ("ListVerdicts", {"parent": MODEL, **token}),
        ("SearchModels", {"parent": PROJECT, **token}),
        ("SearchModelVersions", {"parent": PROJECT, **token}),
    ]


@pytest.mark.parametrize("state", [b"", b"\xff" * 40, msgpack.packb([1, 2]), b"\x00", "text", 7, [], [[[1, "x"]], "y"]])
async def test_a_page_token_that_somebody_made_does_no_harm(any_registry: Registry, state: Any) -> None:
    """Bytes are a place in an index, so any will do; what is no place is refused."""
    await any_registry.new_model()
    await any_registry.new_version()
    for method, fields in requests():
        request = getattr(pb, f"{method}Request")(**fields)
        digest = paging.fingerprint(request)
        if method.startswith("Search"):
            digest = f"{method}Request {digest}"
        fields["page_token"] = paging.seal(digest, state)
        if isinstance(state, bytes) and method.startswith("List"):
            await any_registry.call(method, **fields)
            continue
        refusal = await any_registry.refused(method, **fields)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"), method


async def test_a_token_of_another_request_is_refused(registry: Registry) -> None:
    await registry.new_model()
    await registry.new_version()
    for method, fields in requests(paging.seal("another", b"x")):
        assert (await registry.refused(method, **fields)).reason == "PAGE_TOKEN_INVALID", method


@pytest.mark.parametrize(
    "name",
    [
        "projects/default/models/../../other/models/digits",
        "projects/default/models/digits/versions/0",
        "projects/default/models/digits/versions/01",
        "projects/default/models/digits/versions/1/versions/1",
        "projects/default/models/digits/versions/9999999999",
        "projects/Default/models/digits/versions/1",
        "projects/default/models/dig\nits/versions/1",
        "",
    ],
)
async def test_names_that_are_none(registry: Registry, name: str) -> None:
    await registry.new_model()
    await registry.new_version()
    assert (await registry.refused("GetModelVersion", name=name)).code in {
        Code.INVALID_ARGUMENT,
        Code.PERMISSION_DENIED,
    }


async def test_texts_at_their_limits(registry: Registry) -> None:
    await registry.new_model(description="d" * 10_000, tags={"k" * 250: "v" * 100_000})
    await registry.new_version(
        description="d" * 10_000,
        source_uri="s" * 2_000,
        run_link="l" * 2_000,
        logged_model="m" * 250,
        metrics=[model_pb2.ModelMetric(key="k" * 250, slice="s" * 250)],
        tags={f"t{n}": "" for n in range(1_000)},
    )
    await registry.point("a", 1, reason="r" * 2_000)
    too_long: list[tuple[str, dict[str, Any]]] = [
        ("CreateModel", {"parent": PROJECT, "model_id": "m", "model": model_pb2.Model(description="d" * 10_001)}),
        ("UpdateModelTags", {"name": MODEL, "set": {"k" * 251: ""}}),
        ("UpdateModelTags", {"name": MODEL, "set": {"k": "v" * 100_001}}),
        ("UpdateModelTags", {"name": MODEL, "set": {"\n": ""}}),
        ("SetModelAlias", {"parent": MODEL, "alias": "b", "version": 1, "reason": "r" * 2_001}),
        ("SetModelAlias", {"parent": MODEL, "alias": "b", "version": 0}),
        ("ApprovePromotion", {"name": f"{MODEL}/versions/1", "alias": "b", "comment": "c" * 2_001}),
        ("SearchModels", {"parent": PROJECT, "filter": "f" * 16_385}),
        ("SearchModels", {"parent": PROJECT, "page_size": 1_001}),
        ("ListGates", {"parent": PROJECT, "page_size": 51}),
        ("ListVerdicts", {"parent": MODEL, "page_size": 101}),
        ("ListLatestModelVersions", {"parent": PROJECT, "models": []}),
        ("ListLatestModelVersions", {"parent": PROJECT, "models": ["m"] * 1_001}),
        ("SetModelVersionStage", {"name": f"{MODEL}/versions/1", "stage": 0}),
        ("SetModelVersionStage", {"name": f"{MODEL}/versions/1", "stage": 9}),
        ("RecordEvaluation", {"parent": f"{MODEL}/versions/1", "evaluation": gate_pb2.Evaluation()}),
    ]
    for field, text in (
        ("description", "d" * 10_001),
        ("source_uri", "s" * 2_001),
        ("run_link", "l" * 2_001),
        ("logged_model", "m" * 251),
    ):
        too_long.append(("CreateModelVersion", {"parent": MODEL, "version": model_pb2.ModelVersion(**{field: text})}))
    many: dict[str, Any] = {
        "metrics": [model_pb2.ModelMetric(key=str(n)) for n in range(1_001)],
        "flavors": [model_pb2.ModelFlavor(name=str(n)) for n in range(21)],
        "datasets": [model_pb2.ModelDataset(name=str(n)) for n in range(101)],
        "tags": {str(n): "" for n in range(1_001)},
    }
    for field, items in many.items():
        too_long.append(("CreateModelVersion", {"parent": MODEL, "version": model_pb2.ModelVersion(**{field: items})}))
    for method, fields in too_long:
        refusal = await registry.refused(method, **fields)
        assert refusal.code is Code.INVALID_ARGUMENT, (method, list(fields))
