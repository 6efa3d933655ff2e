"""The version that an alias points to, and searches, among 1,000 models of 100 versions each, through the RPC.

The store is filled directly, and the columns of the project are kept once, as the service does it by itself within a minute.
Aliases are resolved one after the other, and by eight callers at once. Beside it: a health check of the same service, which
is the least that a call costs.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from loadtests.lone_service import LoneService, running_service
from loadtests.report import Figure, ServiceMemory, median, percentile
from penstock.api.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from penstock_kit.clock import SystemClock
from penstock_kit.stores.documents import Insert
from penstock_local.servers import MongoServer
from penstock_registry.app import open_stores
from penstock_registry.bodies import model_body, version_body, version_id
from penstock_registry.domain import AliasTarget, Flavor, Metric, Model, ModelVersion
from penstock_registry.search import ModelIndex
from penstock_registry.settings import RegistrySettings
from penstock_registry.store import MODELS, VERSIONS

MODELS_TOTAL = int(os.environ.get("PENSTOCK_BENCH_MODELS", "1000"))
VERSIONS_PER_MODEL = 100
PROJECT = "default"
ALIASES = ("production", "staging", "shadow")
CALLS = 3_000
SEARCHES = 100
CALLERS = 8
WARM_UP_CALLS = 200
TIME_US = 1_760_000_000_000_000
RESOLVE_GOAL_MS = 10.0
PAGE = 100


def _model(number: int, chance: random.Random) -> tuple[Model, list[ModelVersion]]:
    aliases = {alias: AliasTarget(chance.randint(1, VERSIONS_PER_MODEL), TIME_US) for alias in ALIASES}
    model = Model(
        project=PROJECT,
        model_id=f"model-{number}",
        uid=f"{chance.getrandbits(128):032x}",
        description=f"Model {number}",
        tags={"team": chance.choice(("vision", "speech"))},
        creator="users/owner",
        create_us=TIME_US,
        update_us=TIME_US,
        latest_number=VERSIONS_PER_MODEL,
        aliases=aliases,
    )
    versions = [
        ModelVersion(
            project=PROJECT,
            uid=model.uid,
            number=count,
            description="",
            tags={"data": f"2026-{chance.randint(1, 12):02d}"},
            artifact_manifest=f"{chance.getrandbits(256):064x}",
            source_uri="",
            run_id=f"{chance.getrandbits(128):032x}",
            run_link="",
            logged_model="",
            signature=None,
            flavors=(Flavor("onnx", {"opset": "21"}),),
            metrics=(Metric("accuracy", "", chance.random()), Metric("loss", "", chance.random())),
            datasets=(),
            size_bytes=chance.randrange(10**9),
            creator="users/owner",
            create_us=TIME_US + count,
            update_us=TIME_US + count,
        )
        for count in range(1, VERSIONS_PER_MODEL + 1)
    ]
    return model, versions


async def _fill(settings: RegistrySettings) -> None:
    chance = random.Random(20261128)
    stores = await open_stores(settings, SystemClock())
    for number in range(MODELS_TOTAL):
        model, versions = _model(number, chance)
        await stores.documents.apply(
            PROJECT,
            [
                Insert(MODELS, model.model_id, model_body(model)),
                *(Insert(VERSIONS, version_id(model.uid, one.number), version_body(one)) for one in versions),
            ],
        )
    assert await ModelIndex(stores.documents, stores.blobs, SystemClock()).keep(PROJECT)
    await stores.close()


def _times_ms(call: Callable[[random.Random], None], calls: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    found: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        call(chance)
        found.append((time.perf_counter() - started) * 1_000)
    return found


def _resolve(service: LoneService) -> Callable[[random.Random], None]:
    stub: Any = registry_service_pb2_grpc.RegistryServiceStub(service.channel)

    def call(chance: random.Random) -> None:
        name = f"projects/{PROJECT}/models/model-{chance.randrange(MODELS_TOTAL)}/aliases/{chance.choice(ALIASES)}"
        answer = stub.GetModelAlias(
            registry_service_pb2.GetModelAliasRequest(name=name), metadata=service.metadata, timeout=20
        )
        assert answer.version.name == answer.alias.version

    return call


def _search(service: LoneService) -> Callable[[random.Random], None]:
    stub: Any = registry_service_pb2_grpc.RegistryServiceStub(service.channel)
    request = registry_service_pb2.SearchModelVersionsRequest(
        parent=f"projects/{PROJECT}",
        filter="metrics.accuracy > 0.5 and aliases.production = true",
        order_by="metrics.loss asc",
        page_size=PAGE,
    )

    def call(_: random.Random) -> None:
        answer = stub.SearchModelVersions(request, metadata=service.metadata, timeout=120)
        assert 0.4 < answer.total_size / MODELS_TOTAL < 0.6

    return call


def _health(service: LoneService) -> Callable[[random.Random], None]:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)

    def call(_: random.Random) -> None:
        stub.Check(health_pb2.HealthCheckRequest(), timeout=20)

    return call


def _numpy_ms() -> float:
    chance = np.random.default_rng(1)
    accuracy, loss = chance.random((2, MODELS_TOTAL * VERSIONS_PER_MODEL))
    aliased = chance.random(len(loss)) < 1 / VERSIONS_PER_MODEL
    found: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        rows = np.flatnonzero((accuracy > 0.5) & aliased)
        rows[np.argsort(loss[rows])][:PAGE]
        found.append((time.perf_counter() - started) * 1_000)
    return median(found)


def _measure(store: str, settings: dict[str, str]) -> list[Figure]:
    asyncio.run(
        _fill(RegistrySettings(Path(settings["data_dir"]), "", Path(), documents_url=settings.get("documents_url", "")))
    )
    what = f"in {MODELS_TOTAL:,} models × {VERSIONS_PER_MODEL} versions, {store}"
    with running_service("registry", settings) as service:
        memory = ServiceMemory(service.pid)
        resolve, search, health = _resolve(service), _search(service), _health(service)
        _times_ms(resolve, WARM_UP_CALLS, 0)
        beside = percentile(_times_ms(health, CALLS, 0), 99)
        alone = _times_ms(resolve, CALLS, 1)
        with ThreadPoolExecutor(CALLERS) as pool:
            many = [pool.submit(_times_ms, resolve, CALLS // CALLERS, seed) for seed in range(2, CALLERS + 2)]
            together = [took for one in many for took in one.result()]
        (first,) = _times_ms(search, 1, 0)
        warm = _times_ms(search, SEARCHES, 0)
        held = memory.figure(f"registry, {store}", "registry")
    return [
        Figure(
            name=f"alias resolve {what}, p99",
            value=percentile(alone, 99),
            unit="ms",
            goal=RESOLVE_GOAL_MS,
            better="lower",
            beside_name="a health check, p99",
            beside=beside,
            details={
                "calls": CALLS,
                "median_ms": median(alone),
                f"{CALLERS} callers at once, p99_ms": percentile(together, 99),
                f"{CALLERS} callers at once, median_ms": median(together),
            },
        ),
        Figure(
            name=f"search of versions {what}, warm p95",
            value=percentile(warm, 95),
            unit="ms",
            goal=None,
            better="lower",
            beside_name="numpy: filter and order alone, in memory",
            beside=_numpy_ms(),
            details={"median_ms": median(warm), "first call after a start, s": first / 1_000, "page": PAGE},
        ),
        held,
    ]


def run() -> list[Figure]:
    """Figures on SQLite and on MongoDB."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        figures += _measure("SQLite", {"data_dir": folder})
    with tempfile.TemporaryDirectory() as folder, MongoServer(Path(folder) / "mongo") as mongo:
        figures += _measure("MongoDB", {"data_dir": folder, "documents_url": mongo.database_url("registry")})
    return figures
