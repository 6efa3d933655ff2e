"""Search over the runs of a project: which fields a filter may name, and the index that answers."""

from penstock_tracking.search.fields import RUN_SCHEMA
from penstock_tracking.search.index import RunIndex, RunPage, RunQuery
from penstock_tracking.search.project import LatestSource

__all__ = ["RUN_SCHEMA", "LatestSource", "RunIndex", "RunPage", "RunQuery"]
