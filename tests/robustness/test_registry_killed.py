"""The registry is killed, again and again, while versions are registered, which name files, and aliases moved."""

import itertools
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from support.platform import Processes, running_processes

from penstock.api.registry.v1 import event_pb2, registry_service_pb2
from penstock.client import Client
from penstock.config import Connection
from penstock.errors import Conflict, PenstockError, ServerUnavailable

MODEL = "reader"
KILLS = 4
CALM_S = 0.7
WORKERS = 3
GIVE_UP_S = 60.0


def connection(platform: Processes) -> Connection:
    return Connection(platform.http, platform.grpc, platform.token, "tests")


class Crowd:
    """Threads that work until they are told to stop. What they were promised is kept; what went wrong is kept too."""

    def __init__(self, platform: Processes) -> None:
        self._platform = platform
        self.stop = threading.Event()
        self.registered: dict[str, int] = {}
        self.asked: list[str] = []
        self.moved: list[tuple[int, int]] = []
        self.problems: list[BaseException] = []
        self._threads = [
            *(threading.Thread(target=self._guarded, args=(self._register, worker)) for worker in range(WORKERS)),
            *(threading.Thread(target=self._guarded, args=(self._move, worker)) for worker in range(2)),
        ]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: object, worker: int) -> None:
        assert callable(work)
        try:
            with Client(connection(self._platform), timeout_s=5) as client:
                work(client, worker)
        except BaseException as error:
            self.problems.append(error)

    def _register(self, client: Client, worker: int) -> None:
        for count in itertools.count():
            if self.stop.is_set():
                return
            key = f"{worker}-{count}"
            self.asked.append(key)
            files = client.put_artifact(f"net-{key}", references={"weights": f"s3://bucket/{key}"}).name
            end_s = time.monotonic() + GIVE_UP_S
            while True:
                try:
                    made = client.register_version(
                        MODEL, description=key, metrics={"m": count}, artifact_version=files, request_id=key
                    )
                except (ServerUnavailable, Conflict):
                    assert time.monotonic() < end_s
                    time.sleep(0.02)
                    continue
                self.registered[key] = made.number
                break

    def _move(self, client: Client, worker: int) -> None:
        while not self.stop.is_set():
            try:
                model = client.model(MODEL)
                here = int(model.aliases[0].version.rpartition("/")[2]) if model.aliases else 0
                target = 1 + (here + worker) % max(1, model.latest_version)
                if target != here and model.latest_version:
                    client.set_alias(MODEL, "production", target, expected_version=here)
                    self.moved.append((here, target))
            except PenstockError:
                time.sleep(0.02)  # away, not there yet, or somebody else was quicker


@pytest.mark.parametrize("stores", ["embedded", "servers"])
def test_nothing_acknowledged_is_lost_and_nothing_happens_twice(
    tmp_path: Path, stores: Literal["embedded", "servers"]
) -> None:
    with running_processes(tmp_path, stores) as platform:
        with Crowd(platform) as crowd:
            for _ in range(KILLS):
                time.sleep(CALM_S)
                platform.kill_one("registry")
                platform.start_one("registry")
            platform.wait_ready()
            time.sleep(CALM_S)
        assert crowd.problems == []
        with Client(connection(platform)) as client:
            model = client.model(MODEL)
            versions = {version.number: version.description for version in client.model_versions(model=MODEL)}
            check_files(client, [f"net-{key}" for key in versions.values()])
            moves = [(move.from_version, move.to_version) for move in client.alias_moves(MODEL)][::-1]
            events = told(client, len(versions) + len(moves) + 1)
        # Every create once, under the number that was promised, and no number is left out.
        assert len(crowd.registered) > KILLS
        assert sorted(versions) == list(range(1, model.latest_version + 1))
        assert Counter(versions.values()) == Counter(crowd.asked)
        assert all(versions[number] == key for key, number in crowd.registered.items())
        # Each move begins where the one before it ended; those that were promised are among them.
        assert moves[0][0] == 0
        assert all(before[1] == after[0] for before, after in itertools.pairwise(moves))
        assert not Counter(crowd.moved) - Counter(moves)
        assert model.aliases[0].version.endswith(f"/versions/{moves[-1][1]}")
        # One event for each, in this order.
        kinds = Counter(event.type for event in events)
        assert kinds == {
            event_pb2.EVENT_TYPE_MODEL_CREATED: 1,
            event_pb2.EVENT_TYPE_VERSION_CREATED: len(versions),
            event_pb2.EVENT_TYPE_ALIAS_MOVED: len(moves),
        }
        of_aliases = [event for event in events if event.type == event_pb2.EVENT_TYPE_ALIAS_MOVED]
        assert [(event.former_version, event.version) for event in of_aliases] == moves


def check_files(client: Client, artifacts: list[str]) -> None:
    """What versions of models name cannot be deleted, wherever the registry died over them."""
    for artifact in artifacts:
        with pytest.raises(Conflict) as refused:
            client.delete_artifact(artifact)
        assert refused.value.reason == "VERSION_HELD"


def told(client: Client, count: int) -> list[event_pb2.Event]:
    """The first events of the project."""
    events: list[event_pb2.Event] = []
    responses = client.registry.WatchEvents(registry_service_pb2.WatchEventsRequest(parent="projects/default"))
    for response in responses:
        if response.HasField("event"):
            events.append(response.event)
        if len(events) == count:
            break
    responses.close()
    return events
