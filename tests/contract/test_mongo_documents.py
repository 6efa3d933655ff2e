"""The document store on MongoDB: the contract through both drivers, and what is peculiar to a server."""

from collections.abc import AsyncIterator

import pytest

from penstock_kit.stores.contract.documents import COLLECTIONS, DocumentStoreContract
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.mongo.connection import MongoDriver
from penstock_kit.stores.mongo.documents import MongoDocumentStore


class TestMongoDocumentStore(DocumentStoreContract):
    @pytest.fixture(params=["motor", "pymongo"])
    def driver(self, request: pytest.FixtureRequest) -> MongoDriver:
        return request.param

    @pytest.fixture
    async def store(self, mongodb_url: str, driver: MongoDriver) -> AsyncIterator[MongoDocumentStore]:
        self.url, self.driver = mongodb_url, driver
        store = await MongoDocumentStore.open(mongodb_url, COLLECTIONS, driver=driver)
        yield store
        await store.close()

    async def reopen(self, store: DocumentStore) -> DocumentStore:
        await store.close()
        return await MongoDocumentStore.open(self.url, COLLECTIONS, driver=self.driver)
