"""Runs of MLflow: `mlflow_source` finds out what a tracking URI names.

They are read here and not with MLflow's own client. That takes seconds to import; it opens a database of its own version
alone, and creates what is not there; and newer ones refuse folders. Tables, files and REST calls, on the other hand, have
kept their form since 1.0.

An id of a run is kept: a run is the same in MLflow and here, and whichever way it is read. Params are text in MLflow; they
become numbers and truth values where that text is exactly what Python writes for one. Each metric is a part. MLflow hands its
points out by time, and a late one comes before others; so what is durable is recognised by content, not by place.
"""

from penstock.importers.mlflow.choice import mlflow_source

__all__ = ["mlflow_source"]
