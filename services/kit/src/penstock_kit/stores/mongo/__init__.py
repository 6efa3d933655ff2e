"""Adapters on MongoDB, a replica set (of one node at least), driven by Motor or by PyMongo's `AsyncMongoClient`."""

from typing import Literal

__all__ = ["MongoDriver"]

MongoDriver = Literal["motor", "pymongo"]
"""Motor is the default. PyMongo's `AsyncMongoClient` is its successor, for the day Motor's support ends."""
