"""Search over the models and versions of a project: which fields a filter may name, and the index that answers."""

from penstock_registry.search.index import ModelIndex, Page, Query

__all__ = ["ModelIndex", "Page", "Query"]
