"""One journey through everything that people use: a script trains, and what it logged is read back every way there is.

The training happens once; each test is a traveller of its own.
"""

import contextlib
import csv
import json
import math
import os
import random
import struct
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from openapi_spec_validator import validate
from support.platform import PENSTOCK, Platform, running_platform
from support.training import Training, bits, connection_of, end_senders, points_on_server

from penstock import errors
from penstock.api.tracking.v1 import run_pb2
from penstock.client import AsyncClient, Client
from penstock.config import Connection

pytestmark = pytest.mark.slow

ROWS = 2000
VALIDATE_EVERY = 100
SEED = 11
RANKS = 4
RANK_ROWS = 200
COMMAND_TIMEOUT_S = 60

TRAINING = '''
"""Trains nothing, and logs as if it did."""

import dataclasses, json, math, random, struct, sys

import penstock

rows, validate_every, seed = map(int, sys.argv[1:])
chance = random.Random(seed)
run = penstock.init(
    project="default",
    experiment="journey",
    name="the traveller",
    config={"lr": 0.1, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "amp": True, "layers": 12},
    tags={"team": "vision"},
    notes="# Why",
    group="sweep-1",
    system_metrics=1,
)
run.define_metric("validation/accuracy", goal="maximize", summary="max")
run.define_metric("train/*", x="validation/accuracy")
nan_with_payload = struct.unpack("<d", bytes.fromhex("efbeadde0000f87f"))[0]
rare = {7: math.nan, 8: math.inf, 9: -math.inf, 10: -0.0, 11: nan_with_payload}
for step in range(rows):
    row = {"train/loss": chance.random(), "train": {"grad norm": rare.get(step, chance.gauss(0, 1))}}
    if step % validate_every == 0:
        row["validation/accuracy"] = 1 - 1 / (step + 2)
    penstock.log(row, step=step)
run["train/loss"].append(-1.0, step=-5)
run.summary["best"] = {"accuracy": 0.75, "step": 42}
run.tags.add("baseline")
receipt = penstock.finish()
print(json.dumps({"receipt": dataclasses.asdict(receipt), "grpc": "grpc" in sys.modules}))
'''

RANK_TRAINING = """
import dataclasses, json, os, sys, penstock

rows, rank = int(sys.argv[1]), int(os.environ["RANK"])
with penstock.init(project="default", experiment="journey", name="many ranks", system_metrics=False) as run:
    for step in range(rows):
        run.log({"loss": rank + step / rows}, step=step)
    receipt = run.finish()
print(json.dumps({"receipt": dataclasses.asdict(receipt)}))
"""


@dataclass
class Journey:
    """A platform and what was trained on it.

    Attributes:
        platform: The platform.
        connection: The owner's, through the gateway.
        receipt: Of the training.
    """

    platform: Platform
    connection: Connection
    receipt: dict[str, Any]

    @property
    def run(self) -> str:
        return self.receipt["run"]

    def command(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Runs `penstock`, as its users do."""
        return subprocess.run(
            [PENSTOCK, *words],
            env=self.platform.env | environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any, Message]:
        """Calls a JSON twin: status, JSON (a list for lines of it) and headers."""
        headers = {"Authorization": f"Bearer {token or self.connection.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        status, answer, told = ask(f"{self.connection.http}{path}", method, content, headers)
        if told.get_content_type() == "application/x-ndjson":
            return status, [json.loads(line) for line in answer.splitlines()], told
        return status, json.loads(answer), told


def ask(
    url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, Message]:
    """What a program without any library of ours gets."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def logged() -> dict[str, list[tuple[int, str]]]:
    """What the training logged, worked out anew."""
    chance = random.Random(SEED)
    payload = struct.unpack("<d", bytes.fromhex("efbeadde0000f87f"))[0]
    rare = {7: math.nan, 8: math.inf, 9: -math.inf, 10: -0.0, 11: payload}
    points: dict[str, list[tuple[int, str]]] = {"train/loss": [(-5, bits(-1.0))], "train/grad norm": []}
    for step in range(ROWS):
        points["train/loss"].append((step, bits(chance.random())))
        points["train/grad norm"].append((step, bits(rare.get(step, chance.gauss(0, 1)))))
    points["validation/accuracy"] = [(step, bits(1 - 1 / (step + 2))) for step in range(0, ROWS, VALIDATE_EVERY)]
    return points


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("journey")
    with running_platform(folder) as platform, end_senders(platform.home):
        script = folder / "train.py"
        script.write_text(TRAINING)
        with Training(script, ROWS, VALIDATE_EVERY, SEED, env=platform.env, folder=folder) as training:
            receipt = training.receipt()
            assert training.report("grpc") is False
        yield Journey(platform, connection_of(platform.env), receipt)


@pytest.fixture
def client(journey: Journey) -> Iterator[Client]:
    with Client(journey.connection) as opened:
        yield opened


def test_the_receipt(journey: Journey, client: Client) -> None:
    receipt = journey.receipt
    system = sum(metric.points for metric in client.latest(journey.run, prefix="system/"))
    assert receipt["points_logged"] == receipt["points_durable"] == sum(map(len, logged().values())) + system
    assert (receipt["dropped"], receipt["verified"], receipt["state"]) == (0, True, "FINISHED")
    assert len(receipt["digest"]) == 64


def test_every_point_comes_back_bit_by_bit(journey: Journey, client: Client) -> None:
    assert points_on_server(client, journey.run) == logged()
    table = client.history(journey.run, keys=["train/grad norm"], first_step=7, last_step=11).to_arrow()
    assert [bits(value) for value in table["value"].to_pylist()] == [
        value for _, value in logged()["train/grad norm"][7:12]
    ]


def test_the_run_and_what_it_carries(journey: Journey, client: Client) -> None:
    run = client.run(journey.run)
    assert (run.display_name, run.state, run.notes, run.group) == (
        "the traveller",
        run_pb2.RUN_STATE_FINISHED,
        "# Why",
        "sweep-1",
    )
    (row,) = client.runs("default", filter="name = 'the traveller'").to_pandas().to_dict("records")
    assert row["name"] == journey.run
    assert (row["params.lr"], row["params.optimizer/name"], row["params.amp"], row["params.layers"]) == (
        0.1,
        "adam",
        True,
        12,
    )
    assert json.loads(row["params.optimizer/betas"]) == [0.9, 0.999]
    assert (row["summary.best/accuracy"], row["summary.best/step"]) == (0.75, 42)
    tags = {tag.key: tag.value for tag in run.tags}
    assert (tags["team"], tags["baseline"]) == ("vision", "")
    assert tags["penstock.program"].endswith("train.py")
    definitions = {definition.key: definition for definition in run.metric_definitions}
    assert definitions["validation/accuracy"].goal == run_pb2.METRIC_GOAL_MAXIMIZE
    assert definitions["validation/accuracy"].summary == run_pb2.METRIC_SUMMARY_MAX
    assert definitions["train/*"].x_key == "validation/accuracy"
    experiment = next(found for found in client.experiments("default") if found.name == run.experiment)
    assert experiment.display_name == "journey"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ('metrics."validation/accuracy" > 0.99 and params.lr = 0.1', True),
        ('metrics."validation/accuracy".max > 0.99 and params."optimizer/name" like "ad%"', True),
        ('metrics."train/loss".min < 0 and state = "FINISHED" and tags.team in ("vision")', True),
        ('summary."best/accuracy" >= 0.75 and params.amp = true', True),
        ('metrics."validation/accuracy" > 0.99 and params.lr = 0.2', False),
        ('metrics."train/loss" is null', False),
    ],
)
def test_the_search(journey: Journey, client: Client, wanted: str, found: bool) -> None:
    names = [run.name for run in client.runs("default", filter=f"name = 'the traveller' and ({wanted})")]
    assert names == ([journey.run] if found else [])


def test_a_search_that_cannot_be_understood(client: Client) -> None:
    with pytest.raises(errors.InvalidInput, match="quotes") as caught:
        list(client.runs("default", filter="state = FINISHED"))
    assert (caught.value.reason, caught.value.metadata["position"]) == ("FILTER_INVALID", "8")


def test_the_figures_of_a_chart(journey: Journey, client: Client) -> None:
    keys = list(client.metric_keys(journey.run, prefix="train/"))
    assert keys == ["train/grad norm", "train/loss"]
    assert list(client.metric_keys(journey.run, pattern="^val.*acc")) == ["validation/accuracy"]
    latest = {metric.key: metric for metric in client.latest(journey.run)}
    assert latest["train/loss"].step == ROWS - 1
    assert latest["train/loss"].min == -1.0
    assert latest["train/grad norm"].max == math.inf
    assert latest["validation/accuracy"].points == ROWS / VALIDATE_EVERY
    whole, reduced = client.series(journey.run, ["validation/accuracy", "train/loss"], max_points=100)
    assert (whole.key, len(whole.points.steps), whole.total_points) == ("validation/accuracy", 20, 20)
    buckets = reduced.buckets
    assert (reduced.key, reduced.total_points, len(buckets.counts)) == ("train/loss", ROWS + 1, 100)
    assert sum(buckets.counts) == ROWS + 1
    assert (min(buckets.mins), buckets.min_steps[0]) == (-1.0, -5)


async def test_the_same_without_blocking(journey: Journey) -> None:
    async with AsyncClient(journey.connection) as client:
        runs = [run async for run in client.runs("default", filter="name = 'the traveller'")]
        assert [run.name for run in runs] == [journey.run]
        count = 0
        async for piece in client.history(journey.run, keys=["train/loss", "train/grad norm"]):
            count += len(piece.points.steps)
        assert count == 2 * ROWS + 1
        frame = await client.history(journey.run, keys=["validation/accuracy"]).to_polars()
        assert frame["value"].to_list() == [1 - 1 / (step + 2) for step in range(0, ROWS, VALIDATE_EVERY)]
        events = [event async for event in client.watch(journey.run, keys=["train/loss"])]
        assert events[0].run.name == journey.run
        assert sum(len(event.points.points.steps) for event in events if event.HasField("points")) == ROWS + 1
        assert (await client.whoami()).owner


def test_the_command_line(journey: Journey, tmp_path: Path) -> None:
    listed = journey.command("run", "list", "--filter", "name = 'the traveller'", "--json")
    assert listed.returncode == 0, listed.stderr
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == [journey.run]
    shown = json.loads(journey.command("run", "show", journey.run.rpartition("/")[2][:12], "--json").stdout)
    assert (shown["name"], shown["state"], shown["params"]["optimizer/name"]) == (journey.run, "FINISHED", "adam")
    assert shown["metrics"]["train/loss"]["points"] == ROWS + 1
    parquet, table = tmp_path / "points.parquet", tmp_path / "points.csv"
    exported = journey.command("run", "export", journey.run, "-o", str(parquet), "--json")
    assert json.loads(exported.stdout)["points"] == journey.receipt["points_logged"]
    rows = [row for row in pq.read_table(parquet).to_pylist() if row["key"] == "train/grad norm"]
    assert [(row["step"], bits(row["value"])) for row in rows] == logged()["train/grad norm"]
    assert journey.command("run", "export", journey.run, "-o", str(table), "-k", "train/loss").returncode == 0
    with table.open() as lines:
        assert [(int(row["step"]), bits(float(row["value"]))) for row in csv.DictReader(lines)] == logged()[
            "train/loss"
        ]
    folder = tmp_path / "everything"
    exported = journey.command("export", "default", "-o", str(folder), "--filter", "name = 'the traveller'", "--json")
    assert json.loads(exported.stdout)["points"] == journey.receipt["points_logged"]
    assert pq.read_table(folder / "runs.parquet")["params.optimizer/name"].to_pylist() == ["adam"]
    rows = [row for row in pq.read_table(folder / "metrics").to_pylist() if row["key"] == "train/grad norm"]
    assert [(row["step"], bits(row["value"])) for row in rows] == logged()["train/grad norm"]
    tailed = journey.command("run", "tail", journey.run, "--key", "validation/accuracy", "--json")
    points = [json.loads(line) for line in tailed.stdout.splitlines()]
    assert [point["step"] for point in points if "step" in point] == list(range(0, ROWS, VALIDATE_EVERY))
    assert points[0] == {"run": journey.run, "state": "FINISHED"}
    assert journey.command("status", "--json").returncode == 0
    assert journey.command("doctor", "--json").returncode == 0
    assert json.loads(journey.command("whoami", "--json").stdout)["owner"] is True


@pytest.mark.parametrize(
    ("words", "environment", "status", "reason"),
    [
        (["run", "show", f"projects/default/runs/{'0' * 32}"], {}, 3, "RUN_NOT_FOUND"),
        (["run", "list", "--project", "nowhere"], {}, 3, "PROJECT_NOT_FOUND"),
        (["run", "list", "--filter", "state = FINISHED"], {}, 2, "FILTER_INVALID"),
        (["run", "list"], {"PENSTOCK_TOKEN": f"pst_{'0' * 32}_wrong"}, 4, "TOKEN_INVALID"),
        (["run", "list"], {"PENSTOCK_URL": "http://127.0.0.1:9", "PENSTOCK_TOKEN": "pst_x"}, 5, "UNAVAILABLE"),
    ],
)
def test_exit_codes(journey: Journey, words: list[str], environment: dict[str, str], status: int, reason: str) -> None:
    refused = journey.command(*words, "--json", **environment)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert json.loads(refused.stderr)["error"]["reason"] == reason


def test_an_error_for_people(journey: Journey) -> None:
    told = journey.command("run", "list", "--filter", "state = FINISHED")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("Error:")
    assert "Traceback" not in told.stderr


def test_a_program_without_our_library(journey: Journey) -> None:
    body = {"experimentDisplayName": "twins", "run": {"displayName": "by hand"}, "requestId": "one"}
    status, made, _ = journey.call("POST", "/api/v1/projects/default/runs", body)
    assert (status, made["created"]) == (200, True)
    status, again, _ = journey.call("POST", "/api/v1/projects/default/runs", body)
    assert (status, again["run"]["name"]) == (200, made["run"]["name"])
    run = f"/api/v1/{made['run']['name']}"
    values = [0.5, "NaN", "Infinity", 0.25]
    batch = {
        "metrics": [{"key": "loss", "value": value, "step": str(step)} for step, value in enumerate(values)],
        "params": [{"key": "lr", "value": {"doubleValue": 0.01}}],
        "tags": [{"key": "by", "value": "hand"}],
    }
    assert journey.call("POST", f"{run}:logBatch", batch)[0] == 200
    assert journey.call("POST", f"{run}:logBatch", batch)[1] == {"repeatedRequest": True}
    wanted = {"filter": 'params.lr = 0.01 and metrics.loss = 0.25 and tags.by = "hand"', "columns": ["metrics.loss"]}
    status, found, _ = journey.call("POST", "/api/v1/projects/default/runs:search", wanted)
    assert (status, [each["name"] for each in found["runs"]]) == (200, [made["run"]["name"]])
    chart = {"runs": [made["run"]["name"]], "keys": ["loss"]}
    _, series, _ = journey.call("POST", "/api/v1/projects/default/metrics:series", chart)
    assert series["series"][0]["points"]["values"] == values
    journey.call("POST", f"{run}:finish", {"state": "RUN_STATE_FINISHED"})
    status, events, told = journey.call("GET", f"{run}:watch")
    assert (status, told.get_content_type()) == (200, "application/x-ndjson")
    assert events[0]["event"]["run"]["name"] == made["run"]["name"]
    points = [event["event"]["points"]["points"] for event in events if "points" in event["event"]]
    assert [value for each in points for value in each["values"]] == values
    assert all(event["event"]["cursor"] for event in events)


def test_what_the_json_twins_refuse(journey: Journey) -> None:
    runs = "/api/v1/projects/default/runs"
    status, told, headers = journey.call("GET", f"{runs}/{'0' * 32}")
    assert (status, told["error"]["status"], told["error"]["details"][0]["reason"]) == (
        404,
        "NOT_FOUND",
        "RUN_NOT_FOUND",
    )
    assert headers["x-request-id"]
    assert journey.call("GET", f"{runs}/{'0' * 32}", token="pst_wrong")[0] == 401
    assert journey.call("POST", runs, {"run": {}, "unknown": 1})[0] == 400
    assert ask(f"{journey.connection.http}{runs}/{'0' * 32}")[0] == 401


def test_what_the_gateway_tells_of_itself(journey: Journey) -> None:
    http = journey.connection.http
    status, described, _ = ask(f"{http}/openapi.json")
    document = json.loads(described)
    validate(document)
    assert status == 200
    assert any(path.endswith(":logBatch") for path in document["paths"])
    status, health, _ = ask(f"{http}/healthz")
    assert (status, set(json.loads(health)["services"].values())) == (200, {"SERVING"})
    identity = json.loads(ask(f"{http}/.well-known/penstock")[1])
    assert identity["grpc"] == journey.platform.grpc
    keys = json.loads(ask(f"{http}/.well-known/jwks.json")[1])["keys"]
    assert {key["crv"] for key in keys} == {"P-256"}
    assert b"penstock" in ask(f"{http}/metrics")[1]


def test_the_way_to_the_dashboard(journey: Journey) -> None:
    http = journey.connection.http
    link = json.loads(journey.command("open", "--json").stdout)["setup_link"]
    page, _, secret = link.partition("#")
    assert ask(page)[0] == 200
    assert b"<form" in ask(f"{http}/")[1], "without a session the root leads to the sign-in page"
    body = json.dumps({"setup": secret}).encode()
    json_headers = {"Content-Type": "application/json"}
    status, _, told = ask(f"{http}/session", "POST", body, json_headers)
    cookie = told["set-cookie"]
    assert (status, cookie.startswith("penstock_session=pss_")) == (200, True)
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    status, document, told = ask(f"{http}/", headers={"Cookie": cookie.partition(";")[0]})
    assert (status, told.get_content_type()) == (200, "text/html")
    assert b"_dash-config" in document
    assert ask(f"{http}/session", "POST", body, json_headers)[0] == 401, "a link works once"
    token = json.dumps({"token": journey.connection.token}).encode()
    assert ask(f"{http}/session", "POST", token, json_headers)[0] == 200


def test_many_ranks_write_into_one_run(journey: Journey, client: Client, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK_TRAINING)
    run_id = "0123456789abcdef" * 2
    run = f"projects/default/runs/{run_id}"
    with contextlib.ExitStack() as stack:
        # The last rank first: it must wait for the run that rank 0 creates.
        ranks = [
            stack.enter_context(
                Training(
                    script,
                    RANK_ROWS,
                    env=journey.platform.env | {"RANK": str(rank), "PENSTOCK_RUN_ID": run_id},
                    folder=tmp_path,
                )
            )
            for rank in reversed(range(RANKS))
        ]
        for training in ranks:
            receipt = training.receipt()
            assert receipt["points_durable"] == receipt["points_logged"] == RANK_ROWS, training.words
            assert receipt["verified"]
            assert receipt["run"] == run
    apart = points_on_server(client, run, by_rank=True)
    assert apart == {
        f"loss@{rank}": [(step, bits(rank + step / RANK_ROWS)) for step in range(RANK_ROWS)] for rank in range(RANKS)
    }
    assert list(client.run(run).ranks) == list(range(RANKS))
    series = client.series(run, ["loss"], by_rank=True)
    assert [each.rank for each in series] == list(range(RANKS))
    together = client.series(run, ["loss"])
    assert [each.total_points for each in together] == [RANKS * RANK_ROWS]


def test_a_token_of_another_project(journey: Journey, client: Client, tmp_path: Path) -> None:
    created = journey.command("project", "create", "elsewhere", "--json")
    assert json.loads(created.stdout)["name"] == "projects/elsewhere"
    secret = client.create_token("limited", projects=["elsewhere"], role="editor").secret
    limited = Connection(journey.connection.http, None, secret, "tests")
    with Client(limited) as other:
        for read in (
            lambda: other.run(journey.run),
            lambda: list(other.runs("default")),
            lambda: list(other.history(journey.run)),
            lambda: other.latest(journey.run),
            lambda: list(other.watch(journey.run)),
            lambda: list(other.experiments("default")),
        ):
            with pytest.raises(errors.PermissionDenied):
                read()
        assert [project.name for project in other.projects()] == ["projects/elsewhere"]
        assert list(other.runs("elsewhere")) == []
    denied = journey.command("run", "list", "--json", PENSTOCK_URL=journey.connection.http, PENSTOCK_TOKEN=secret)
    assert denied.returncode == 4
    assert journey.call("GET", f"/api/v1/{journey.run}", token=secret)[0] == 403
    # What it may: log to its own project.
    script = tmp_path / "elsewhere.py"
    script.write_text(
        "import penstock\nwith penstock.init(project='elsewhere', system_metrics=False) as run: run.log({'x': 1})\n"
    )
    env = journey.platform.env | {"PENSTOCK_URL": journey.connection.http, "PENSTOCK_TOKEN": secret}
    with Training(script, env=env, folder=tmp_path) as training:
        assert training.wait() == 0, training.words
    with Client(limited) as other:
        (run,) = other.runs("elsewhere")
        assert points_on_server(other, run.name) == {"x": [(0, bits(1.0))]}


@pytest.mark.parametrize("journey", ["processes"], indirect=True)  # the other shape has tests/e2e/test_demo.py
def test_the_demo(journey: Journey, client: Client) -> None:
    shown = journey.command("demo", "--quick", "--json", OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"))
    assert shown.returncode == 0, shown.stderr
    *runs, last = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(runs) >= 2
    for run in runs:
        assert run["points_logged"] == run["points_durable"] > 0
        assert run["dropped"] == 0
        assert client.run(run["run"], fields=["state"]).state == run_pb2.RUN_STATE_FINISHED
    assert last["best_run"] in {run["run"] for run in runs}
