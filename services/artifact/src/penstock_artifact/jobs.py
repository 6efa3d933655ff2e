"""What the artifact service does by itself."""

import asyncio
import random
from typing import Final

from penstock_artifact.collector import Collector
from penstock_artifact.parts.service import PartUploads
from penstock_artifact.retention import Retainer
from penstock_kit.application import Job

__all__ = ["jobs"]

COLLECTION_INTERVAL_S: Final = 3 * 3_600.0


def jobs(retainer: Retainer, collector: Collector, uploads: PartUploads) -> list[Job]:
    """Returns the loops of a running service. Any replica may run them, several at once as well."""

    async def collect() -> None:
        while True:
            # Replicas that started together do not do the same at the same moment; nor is a start made slower.
            await asyncio.sleep(COLLECTION_INTERVAL_S * random.uniform(0.5, 1.5))  # noqa: S311 - spreads work, no secret
            await retainer.apply()
            await collector.collect()
            await uploads.sweep()

    return [Job("artifact-collect-garbage", collect)]
