"""Every RPC with an HTTP annotation, called through its JSON twin on real services."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from support.gateway import Installation, gateway_before, installation, raw_server

from penstock.api.tracking.v1 import metric_pb2, tracking_service_pb2
from penstock_gateway.backends import SERVICES
from penstock_gateway.json_twins.routes import Routes

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRPC_WATCH = "/penstock.api.tracking.v1.TrackingService/WatchRun"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installation(tmp_path_factory.mktemp("twins")) as running:
        yield running


class Recorder:
    """Calls routes and remembers which."""

    def __init__(self, whole: Installation) -> None:
        self.whole = whole
        self.called: set[tuple[str, str]] = set()

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = await self.whole.call(method, path, body, **options)
        assert answer.status_code == 200, answer.text
        self.called.add((method, path.partition("?")[0]))
        if answer.headers["content-type"] == "application/x-ndjson":
            return [json.loads(line) for line in answer.text.splitlines()]
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    async def refused(self, method: str, path: str, reason: str, body: Any = None) -> None:
        """Calls a route that can only refuse here: the reason is one that its RPC alone gives."""
        answer = await self.whole.call(method, path, body)
        # A stream has begun to answer, and says so in its last line.
        assert json.loads(answer.text.splitlines()[-1])["error"]["details"][0]["reason"] == reason
        self.called.add((method, path.partition("?")[0]))

    def covers(self, method: str, template: str) -> bool:
        pattern = re.escape(re.sub(r"\{[^=}]+=([^}]+)\}", r"\1", template)).replace(r"\*", "[^/:]+")
        return any(m == method and re.fullmatch(pattern, path) for m, path in self.called)


async def test_every_annotated_rpc_answers_over_http(whole: Installation) -> None:
    call = Recorder(whole)
    projects = "/api/v1/projects"
    default = f"{projects}/default"

    # auth
    made = await call("POST", projects, {"projectId": "vision", "project": {"title": "Vision"}})
    assert made["project"]["name"] == "projects/vision"
    assert (await call("GET", f"{projects}/vision"))["project"]["title"] == "Vision"
    assert {p["name"] for p in (await call("GET", projects))["projects"]} >= {"projects/default", "projects/vision"}
    changed = await call("PATCH", f"{projects}/vision?updateMask=title", {"title": "Sight"})
    assert changed["project"]["title"] == "Sight"
    token = await call(
        "POST", "/api/v1/tokens", {"title": "ci", "projects": ["projects/vision"], "role": "ROLE_EDITOR"}
    )
    assert token["secret"].startswith("pst_")
    assert token["token"]["name"] in {t["name"] for t in (await call("GET", "/api/v1/tokens"))["tokens"]}
    assert (await call("POST", "/api/v1/tokens:exchange", {"secret": token["secret"]}))["accessToken"].count(".") == 2
    await call("POST", f"/api/v1/{token['token']['name']}:revoke")
    link = await call("POST", "/api/v1/setupLinks", {})
    session = await call("POST", "/api/v1/setupLinks:redeem", {"secret": link["secret"]})
    assert session["sessionSecret"].startswith("pss_")
    assert (await call("GET", "/api/v1/whoami"))["owner"] is True
    assert json.loads((await call("GET", "/api/v1/keys"))["jwksJson"])["keys"]
    granted = await call("POST", f"{projects}/vision/grants", {"principal": "users/owner", "role": "ROLE_VIEWER"})
    assert granted["grant"]["role"] == "ROLE_VIEWER"
    grants = (await call("GET", f"{projects}/vision/grants"))["grants"]
    assert granted["grant"]["name"] in {grant["name"] for grant in grants}
    await call("DELETE", f"/api/v1/{granted['grant']['name']}")

    # experiments
    experiment = (await call("POST", f"{default}/experiments", {"experiment": {"displayName": "sweep"}}))["experiment"]
    at = f"/api/v1/{experiment['name']}"
    assert (await call("GET", at))["experiment"]["displayName"] == "sweep"
    listed = await call("GET", f"{default}/experiments?page_size=10&displayName=sweep")
    assert [e["name"] for e in listed["experiments"]] == [experiment["name"]]
    updated = await call("PATCH", f"{at}?update_mask=description", {"displayName": "sweep", "description": "long"})
    assert updated["experiment"]["description"] == "long"
    await call("DELETE", at)
    restored = await call("POST", f"{at}:restore", {})
    assert restored["experiment"]["lifecycleStage"] == "LIFECYCLE_STAGE_ACTIVE"

    # runs
    run = (await call("POST", f"{default}/runs", {"run": {"displayName": "first", "experiment": experiment["name"]}}))[
        "run"
    ]
    at = f"/api/v1/{run['name']}"
    points = [{"key": "loss", "value": 1 / (n + 1), "step": str(n)} for n in range(5)]
    await call("POST", f"{at}:logBatch", {"metrics": points, "params": [{"key": "lr", "value": {"doubleValue": 0.1}}]})
    assert (await call("GET", at))["run"]["params"] == [{"key": "lr", "value": {"doubleValue": 0.1}}]
    found = await call("POST", f"{default}/runs:search", {"filter": "metrics.loss < 0.5", "columns": ["metrics.loss"]})
    assert [r["name"] for r in found["runs"]] == [run["name"]]
    assert found["totalSize"] == "1"
    grouping = {"groupBy": ["params.lr", "tags.team"], "aggregates": ["min(metrics.loss)", "mean(tags.team)"]}
    groups = await call("POST", f"{default}/runs:group", grouping)
    assert groups["groups"] == [
        {"keys": [{"doubleValue": 0.1}, {}], "runs": "1", "aggregates": [{"value": 0.2}, {}]},
    ]
    assert (groups["totalSize"], groups["totalRuns"]) == ("1", "1")
    assert (await call("PATCH", f"{at}?updateMask=notes,display_name", {"notes": "n", "displayName": "2"}))["run"][
        "notes"
    ] == "n"
    param = {"param": {"key": "lr", "value": {"doubleValue": 0.2}}}
    assert (await call("POST", f"{at}:changeParam", param))["history"][0]["value"] == {"doubleValue": 0.1}
    dataset = {
        "dataset": {"name": "mnist", "digest": "d1", "source": "s3://b/m"},
        "tags": [{"key": "use", "value": "train"}],
    }
    assert await call("POST", f"{at}:logInputs", {"datasets": [dataset]}) == {}
    made = await call("POST", f"{default}/loggedModels", {"model": {"displayName": "net", "tags": {"a": "1"}}})
    model = f"/api/v1/{made['model']['name']}"
    assert await call("POST", f"{at}:logOutputs", {"models": [{"model": made["model"]["name"], "step": "3"}]}) == {}
    assert (await call("GET", at))["run"]["datasets"] == [dataset]
    annotated = await call("POST", f"{model}:annotate", {"params": {"lr": "1"}, "removedTags": ["a"]})
    assert (annotated["model"]["params"], "tags" in annotated["model"]) == ({"lr": "1"}, False)
    finished = await call("POST", f"{model}:finish", {"state": "LOGGED_MODEL_STATE_READY"})
    assert (await call("GET", model))["model"]["state"] == finished["model"]["state"] == "LOGGED_MODEL_STATE_READY"
    search = {"experiments": ["projects/default/experiments/0"], "filter": "params.lr = 1"}
    assert [m["displayName"] for m in (await call("POST", f"{default}/loggedModels:search", search))["models"]] == [
        "net"
    ]
    assert (await call("DELETE", model))["model"]["lifecycleStage"] == "LIFECYCLE_STAGE_DELETED"
    assert (await call("POST", f"{default}/metrics:listKeys", {"runs": [run["name"]]}))["keys"] == ["loss"]
    latest = await call("GET", f"{at}/metrics:latest?keys=loss&keys=other")
    assert latest["metrics"][0]["step"] == "4"
    series = await call("POST", f"{default}/metrics:series", {"runs": [run["name"]], "keys": ["loss"]})
    assert len(series["series"][0]["points"]["values"]) == 5
    pieces = await call("GET", f"{at}/metrics:read?keys=loss&range.first=1&range.last=3")
    assert [step for piece in pieces for step in piece["series"]["points"]["steps"]] == ["1", "2", "3"]
    finished = await call("POST", f"{at}:finish", {"state": "RUN_STATE_FINISHED"})
    assert finished["run"]["state"] == "RUN_STATE_FINISHED"
    events = [piece["event"] for piece in await call("GET", f"{at}:watch")]
    assert events[0]["run"]["name"] == run["name"]
    assert sum(len(e["points"]["points"]["values"]) for e in events if "points" in e) == 5
    assert (await call("POST", f"{at}:resume"))["run"]["state"] == "RUN_STATE_RUNNING"
    await call("DELETE", at)
    await call("POST", f"{at}:restore")

    alerting = {"title": "the loss is NaN", "level": "ALERT_LEVEL_ERROR"}
    alert = (await call("POST", f"{at}/alerts?alertId={'ab' * 16}", alerting))["alert"]
    assert (await call("GET", f"{at}/alerts"))["alerts"] == [alert]
    assert (await call("GET", f"{default}/alerts"))["alerts"] == [alert]

    await _registry(call, default)
    await _artifact(call, default)
    await _transfers(call, default)
    await _files(call, run["name"], f"projects/default/loggedModels/m-{'cd' * 16}")

    # Only services may follow the grants: the refusal comes from the RPC itself.
    refused = await whole.call("GET", "/api/v1/grants:watch")
    assert (refused.status_code, refused.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    call.called.add(("GET", "/api/v1/grants:watch"))

    missed = [
        (route.http_method, route.template_text)
        for route in Routes(SERVICES.items())
        if not call.covers(route.http_method, route.template_text)
    ]
    assert missed == []


async def _registry(call: Recorder, default: str) -> None:
    """Calls every RPC of the registry."""
    made = await call("POST", f"{default}/models", {"modelId": "wine 2", "model": {"tags": {"a": "1"}}})
    assert made["model"]["name"] == "projects/default/models/wine 2"
    model = f"{default}/models/wine%202"
    assert (await call("GET", model))["model"] == made["model"]
    updated = await call("PATCH", f"{model}?updateMask=description", {"description": "red"})
    assert updated["model"]["description"] == "red"
    tagged = await call("POST", f"{model}:updateTags", {"set": {"b": "2"}, "remove": ["a"]})
    assert tagged["model"]["tags"] == {"b": "2"}
    found = await call("POST", f"{default}/models:search", {"filter": 'tags.b = "2"'})
    assert [m["name"] for m in found["models"]] == [made["model"]["name"]]
    baseline = {"features": [{"name": "age", "edges": [0, 1], "counts": ["3"]}]}
    body = {"version": {"metrics": [{"key": "acc", "value": 0.9}]}, "baseline": baseline}
    assert (await call("POST", f"{model}/versions", body))["version"]["number"] == "1"
    version = f"{model}/versions/1"
    assert (await call("GET", version))["version"]["metrics"] == [{"key": "acc", "value": 0.9}]
    assert (await call("GET", f"{version}:baseline"))["baseline"]["features"][0]["counts"] == ["3"]
    assert (await call("POST", f"{default}/versions:search", {"filter": "metrics.acc > 0.8"}))["totalSize"] == "1"
    await call("PATCH", f"{version}?updateMask=description", {"description": "dry"})
    await call("POST", f"{version}:updateTags", {"set": {"c": "3"}})
    staged = await call("POST", f"{version}:setStage", {"stage": "MODEL_VERSION_STAGE_STAGING"})
    assert staged["version"]["stage"] == "MODEL_VERSION_STAGE_STAGING"
    latest = await call("POST", f"{default}/versions:latest", {"models": ["wine 2"]})
    assert [v["number"] for v in latest["versions"]] == ["1"]
    await call("POST", f"{model}:setAlias", {"alias": "best", "version": "1", "reason": "only one"})
    assert (await call("GET", f"{model}/aliases/best"))["version"]["description"] == "dry"
    lineage = await call("GET", f"{version}:lineage")
    assert lineage == {}
    asked = {"name": "wines", "digest": "d1"}
    assert await call("POST", f"{default}/datasets:lineage", asked) == {}
    hook = {"types": ["EVENT_TYPE_ALIAS_MOVED"], "http": {"url": "https://example.test/hook"}, "enabled": True}
    created = await call("POST", f"{default}/webhooks", {"webhook": hook})
    assert created["secret"].startswith("whsec_")
    webhook = f"/api/v1/{created['webhook']['name']}"
    assert (await call("GET", webhook))["webhook"]["http"] == hook["http"]
    assert [h["name"] for h in (await call("GET", f"{default}/webhooks"))["webhooks"]] == [created["webhook"]["name"]]
    paused = await call("PATCH", f"{webhook}?updateMask=enabled", {"enabled": False})
    assert "enabled" not in paused["webhook"]
    assert (await call("POST", f"{webhook}:rotateSecret"))["secret"] != created["secret"]
    assert await call("GET", f"{webhook}/deliveries") == {}
    # There is no delivery yet: the refusal comes from the RPC itself.
    await call.refused("POST", f"{webhook}/deliveries/{'0' * 32}:replay", "WEBHOOK_DISABLED")
    # Its host is not on any allow list, or has no address: the attempt is told, not made.
    assert (await call("POST", f"{webhook}:test"))["error"]
    await call("DELETE", webhook)
    async with call.whole.front.http.stream(
        "GET", f"{default}/events:watch", headers={"Authorization": f"Bearer {call.whole.token}"}
    ) as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines)) == {"cursor": "0"}
        first = json.loads(await anext(lines))["event"]
    assert (first["type"], first["model"]) == ("EVENT_TYPE_MODEL_CREATED", "projects/default/models/wine 2")
    call.called.add(("GET", f"{default}/events:watch"))
    policy = {"checks": [{"id": "floor", "threshold": {"metric": "acc", "min": 0.5}}]}
    assert (await call("PUT", f"{model}/gatePolicy", policy))["policy"]["revision"] == "1"
    assert (await call("GET", f"{model}/gatePolicy"))["policy"]["checks"] == policy["checks"]
    assert [gate["model"] for gate in (await call("GET", f"{default}/gates"))["gates"]] == [
        "projects/default/models/wine 2"
    ]
    await call("POST", f"{version}/evaluations", {"evaluation": {"metrics": [{"key": "acc", "value": 0.8}]}})
    assert len((await call("GET", f"{version}/evaluations"))["evaluations"]) == 1
    verdict = (await call("POST", f"{version}:checkGate"))["verdict"]
    assert verdict["passed"] is True
    assert (await call("GET", f"/api/v1/{verdict['name'].replace(' ', '%20')}"))["verdict"] == verdict
    assert [v["name"] for v in (await call("GET", f"{model}/verdicts"))["verdicts"]] == [verdict["name"]]
    await call("POST", f"{version}:approve", {"alias": "good", "comment": "yes"})
    assert [a["comment"] for a in (await call("GET", f"{version}/approvals"))["approvals"]] == ["yes"]
    assert (await call("POST", f"{version}:promote", {"alias": "good"}))["alias"]["version"].endswith("/versions/1")
    await call("DELETE", f"{model}/aliases/good")
    await call("DELETE", f"{model}/aliases/best?reason=over")
    moves = await call("GET", f"{model}/aliasMoves?alias=best")
    assert [move["reason"] for move in moves["moves"]] == ["over", "only one"]
    await call("DELETE", version)
    assert (await call("POST", f"{model}:rename", {"modelId": "wine"}))["model"][
        "name"
    ] == "projects/default/models/wine"
    await call("DELETE", f"{default}/models/wine")


async def _artifact(call: Recorder, default: str) -> None:
    """Calls every RPC of the artifact service but the upload, which has no JSON twin."""
    blob = {"sha256": "ab" * 32, "sizeBytes": "3"}
    missing = await call("POST", f"{default}/artifactBlobs:findMissing", {"blobs": [blob]})
    assert missing["missing"] == [blob]
    entries = [{"path": "data", "reference": {"uri": "s3://bucket/key", "sizeBytes": "7"}}]
    run = f"projects/default/runs/{'ab' * 16}"
    artifact, version = f"{default}/artifacts/my%20data", f"{default}/artifacts/my%20data/versions/1"
    made = await call("POST", f"{artifact}/versions", {"entries": entries, "run": run})
    assert (made["version"]["referenceCount"], made["version"]["type"]) == ("1", "file")
    assert (await call("GET", version))["version"] == made["version"]
    assert (await call("GET", artifact))["artifact"]["latestVersion"] == "1"
    assert [a["type"] for a in (await call("GET", f"{default}/artifacts"))["artifacts"]] == ["file"]
    assert (await call("GET", f"{artifact}/versions"))["versions"] == [made["version"]]
    assert (await call("GET", f"{version}/entries"))["entries"] == entries
    assert (await call("POST", f"{version}:use", {"run": run}))["version"] == made["version"]
    links = await call("GET", f"{default}/artifactLinks?run={run}")
    assert [link["kind"] for link in links["links"]] == ["ARTIFACT_LINK_KIND_WRITTEN", "ARTIFACT_LINK_KIND_USED"]
    # A reference has no bytes here.
    for twin in ("download", "preview", "signDownload"):
        await call.refused("GET", f"{version}:{twin}?path=data", "REFERENCE_NOT_STORED")
    await call.refused("POST", f"{version}:downloadFiles", "REFERENCE_NOT_STORED", {"paths": ["data"]})
    storage = f"{default}/artifactStorage"
    assert (await call("POST", f"{storage}:setQuota", {"quotaBytes": "5"}))["storage"]["quotaBytes"] == "5"
    assert (await call("GET", storage))["storage"]["quotaBytes"] == "5"
    kept = await call("POST", f"{storage}:setRetention", {"retention": {"versionsKept": "3", "daysKept": 7}})
    assert kept["storage"]["retention"] == {"versionsKept": "3", "daysKept": 7}
    await call("POST", f"{storage}:setRetention", {})
    await call("POST", f"{storage}:setQuota", {})
    await call("POST", f"{version}:hold", {"holder": "registry/wine"})
    await call.refused("DELETE", version, "VERSION_HELD")
    await call("POST", f"{default}/artifactHolds:release", {"holder": "registry/wine"})
    await call("DELETE", version)
    await call("DELETE", artifact)


async def _transfers(call: Recorder, default: str) -> None:
    """Calls what goes before and after the parts of an upload, which have no JSON twin."""
    begun = await call("POST", f"{default}/blobUploads", {"blob": {"sha256": "ab" * 32, "sizeBytes": "3"}})
    upload = f"/api/v1/{begun['upload']['name']}"
    assert begun["upload"]["missingParts"] == [1]
    await call.refused("POST", f"{upload}:signParts", "NO_DIRECT_WAY", {"parts": [1]})
    await call.refused("POST", f"{upload}:finish", "PARTS_MISSING")
    file = {"parent": f"projects/default/runs/{'ab' * 16}", "file": {"path": "a"}, "partCount": 1}
    await call.refused("POST", f"{upload}:finishFile", "UPLOAD_INVALID", file)
    assert await call("DELETE", upload) == {}


async def _files(call: Recorder, run: str, model: str) -> None:
    """Calls everything about files of a run and of a logged model; the upload has a twin in MLflow's API alone."""
    experiment, run_id = 0, run.rpartition("/")[2]
    body = b"three words here"
    put = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/notes/a.txt"
    assert (await call.whole.call("PUT", put, content=body)).status_code == 200
    of_run = f"/api/v1/{run}"
    (file,) = (await call("GET", f"{of_run}/files?directory=notes"))["entries"]
    blob = file["file"]["blob"]
    for owner in (of_run, f"/api/v1/{model}"):
        await call("POST", f"{owner}/files:put", {"files": [{"path": "b/c.txt", "blob": blob}]})
        assert (await call("GET", f"{owner}/files:get?path=b/c.txt"))["file"]["blob"] == blob
        entries = (await call("GET", f"{owner}/files"))["entries"]
        assert entries[0] == {"directory": "b"}
        (piece,) = [line for line in await call("GET", f"{owner}:download?path=b/c.txt") if "data" in line]
        assert base64.b64decode(piece["data"]) == body
        pieces = await call("POST", f"{owner}:downloadFiles", {"paths": ["b/c.txt"]})
        assert base64.b64decode(pieces[-1]["pieces"][0]["data"]) == body
        await call.refused("GET", f"{owner}:signDownload?path=b/c.txt", "NO_DIRECT_WAY")
        assert (await call("GET", f"{owner}:previewFile?path=b/c.txt"))["preview"]["text"]["text"] == body.decode()
        kept = {"directory": "b", "artifact": "projects/default/artifacts/kept"}
        assert (await call("POST", f"{owner}/files:publish", kept))["version"]["fileCount"] == "1"
        assert (await call("DELETE", f"{owner}/files?path=b"))["fileCount"] == "1"
    assert await call("GET", f"{of_run}/media?key=samples") == {}
    assert await call("GET", f"{of_run}/mediaKeys") == {}


async def test_a_service_follows_the_grants_line_by_line(whole: Installation) -> None:
    secret = whole.auth.settings.service_credential_file.read_text().strip()
    exchanged = await whole.call("POST", "/api/v1/tokens:exchange", {"secret": secret})
    headers = {"Authorization": f"Bearer {exchanged.json()['accessToken']}"}
    async with whole.front.http.stream("GET", "/api/v1/grants:watch", headers=headers) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        async for line in answer.aiter_lines():
            first = json.loads(line)
            break
    assert first["snapshot"] is True
    assert "projects/default" in first["projects"]


async def test_values_that_json_has_no_number_for(whole: Installation) -> None:
    run = (await whole.call("POST", "/api/v1/projects/default/runs", {"run": {}})).json()["run"]["name"]
    values = ["NaN", "Infinity", "-Infinity", 1.5, "2.5", 5e-324, -0.0]
    metrics = [{"key": "m", "value": value, "step": n} for n, value in enumerate(values)]
    metrics.append({"key": "far", "value": 1, "step": "9223372036854775807", "timeUnixUs": "1700000000000000"})
    metrics.append({"key": "far", "value": 1, "step": "-9223372036854775808"})
    answer = await whole.call("POST", f"/api/v1/{run}:logBatch", {"metrics": metrics})
    assert answer.status_code == 200, answer.text
    body = {"runs": [run], "keys": ["m", "far"]}
    answer = await whole.call("POST", "/api/v1/projects/default/metrics:series", body)
    # What comes is JSON in the strict sense.
    found = {s["key"]: s["points"] for s in json.loads(answer.text, parse_constant=pytest.fail)["series"]}
    assert found["m"]["values"] == ["NaN", "Infinity", "-Infinity", 1.5, 2.5, 5e-324, -0.0]
    assert found["far"]["steps"] == ["-9223372036854775808", "9223372036854775807"]
    for bad in ("NaN", "Infinity", "-Infinity"):
        raw = f'{{"metrics":[{{"key":"m","value":{bad},"step":"1"}}]}}'
        headers = {"Content-Type": "application/json"}
        refused = await whole.call("POST", f"/api/v1/{run}:logBatch", content=raw, headers=headers)
        assert refused.status_code == 400


async def test_names_in_both_spellings_say_the_same(whole: Installation) -> None:
    body = {"experiment_display_name": "both", "run": {"display_name": "snake"}}
    snake = (await whole.call("POST", "/api/v1/projects/default/runs", body)).json()["run"]
    body = {"experimentDisplayName": "both", "run": {"displayName": "camel"}}
    camel = (await whole.call("POST", "/api/v1/projects/default/runs", body)).json()["run"]
    assert snake["experiment"] == camel["experiment"]
    for name in ("showDeleted", "show_deleted"):
        assert (await whole.call("GET", f"/api/v1/projects/default/experiments?{name}=true")).status_code == 200
    for mask in ("displayName", "display_name", "run.displayName"):
        answer = await whole.call("PATCH", f"/api/v1/{camel['name']}?update_mask={mask}", {"displayName": "x"})
        assert answer.status_code == (400 if "." in mask else 200), answer.text


async def test_large_bodies_and_answers(whole: Installation) -> None:
    run = (await whole.call("POST", "/api/v1/projects/default/runs", {"run": {}})).json()["run"]["name"]
    points = [{"key": f"k{n % 10}", "value": n, "step": n} for n in range(20_000)]
    answer = await whole.call("POST", f"/api/v1/{run}:logBatch", {"metrics": points})
    assert answer.status_code == 200, answer.text
    async with whole.front.http.stream(
        "GET", f"/api/v1/{run}/metrics:read", headers={"Authorization": f"Bearer {whole.token}"}
    ) as pieces:
        lines = [json.loads(line) async for line in pieces.aiter_lines()]
    assert sum(len(line["series"]["points"]["values"]) for line in lines) == 20_000


async def test_leaving_a_stream_ends_it_at_the_service() -> None:
    ended = asyncio.Event()

    async def watch(requests: Any, context: Any) -> None:
        message = tracking_service_pb2.WatchRunResponse(event=metric_pb2.RunEvent(cursor="c"))
        try:
            await context.write(message.SerializeToString())
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with raw_server({GRPC_WATCH: watch}) as address, gateway_before(tracking=address) as front:
        async with front.http.stream("GET", f"/api/v1/projects/default/runs/{'0' * 32}:watch") as answer:
            async for line in answer.aiter_lines():
                assert json.loads(line) == {"event": {"cursor": "c"}}
                break
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_stream_that_breaks_off_says_so_in_its_last_line() -> None:
    async def watch(requests: Any, context: Any) -> None:
        await context.write(tracking_service_pb2.WatchRunResponse().SerializeToString())
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    async with raw_server({GRPC_WATCH: watch}) as address, gateway_before(tracking=address) as front:
        answer = await front.http.get(f"/api/v1/projects/default/runs/{'0' * 32}:watch")
    assert answer.status_code == 200
    first, last = (json.loads(line) for line in answer.text.splitlines())
    assert first == {}
    assert (last["error"]["status"], last["error"]["message"]) == ("DATA_LOSS", "gone")


async def test_stopping_ends_streams_with_a_last_line() -> None:
    async def watch(requests: Any, context: Any) -> None:
        await context.write(tracking_service_pb2.WatchRunResponse().SerializeToString())
        await asyncio.sleep(60)

    async with raw_server({GRPC_WATCH: watch}) as address, gateway_before(tracking=address) as front:
        path = f"/api/v1/projects/default/runs/{'0' * 32}:watch"
        async with front.http.stream("GET", path) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "{}"
            stopping = asyncio.ensure_future(front.gateway.stop())
            assert json.loads(await anext(lines))["error"]["details"][0]["reason"] == "STOPPING"
        await stopping
