"""The metric log on MongoDB: the contract through both drivers, and what is peculiar to a server."""

from collections.abc import AsyncIterator

import pytest

from penstock_kit.stores.contract.metric_log import MetricLogContract
from penstock_kit.stores.metric_log import MetricLog
from penstock_kit.stores.mongo import MongoDriver
from penstock_kit.stores.mongo.metric_log import MongoMetricLog


class TestMongoMetricLog(MetricLogContract):
    @pytest.fixture(params=["motor", "pymongo"])
    def driver(self, request: pytest.FixtureRequest) -> MongoDriver:
        return request.param

    @pytest.fixture
    async def log(self, mongodb_url: str, driver: MongoDriver) -> AsyncIterator[MongoMetricLog]:
        self.url, self.driver = mongodb_url, driver
        log = await MongoMetricLog.open(mongodb_url, driver=driver)
        yield log
        await log.close()

    async def reopen(self, log: MetricLog) -> MetricLog:
        await log.close()
        return await MongoMetricLog.open(self.url, driver=self.driver)
