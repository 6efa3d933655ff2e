"""Search over the runs of a project: which fields a filter may name, and the index that answers."""

from penstock_tracking.search.fields import RUN_SCHEMA
from penstock_tracking.search.index import LatestSource, RunIndex, RunPage, RunQuery

__all__ = ["RUN_SCHEMA", "LatestSource", "RunIndex", "RunPage", "RunQuery"]
