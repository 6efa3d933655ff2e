"""Search over the runs of a project, and over its experiments: which fields a filter may name, and what answers."""

from penstock_tracking.search.experiments import ExperimentPage, ExperimentQuery
from penstock_tracking.search.fields import RUN_SCHEMA
from penstock_tracking.search.index import RunIndex
from penstock_tracking.search.project import LatestSource
from penstock_tracking.search.queries import GroupPage, GroupQuery, RunPage, RunQuery

__all__ = [
    "RUN_SCHEMA",
    "ExperimentPage",
    "ExperimentQuery",
    "GroupPage",
    "GroupQuery",
    "LatestSource",
    "RunIndex",
    "RunPage",
    "RunQuery",
]
