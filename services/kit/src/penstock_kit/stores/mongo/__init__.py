"""Adapters on MongoDB, a replica set (of one node at least), driven by Motor or by PyMongo's `AsyncMongoClient`."""
