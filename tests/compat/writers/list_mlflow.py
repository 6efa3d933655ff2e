"""Lists the classic operations of the installed MLflow: what its route table has beside GenAI, workspaces and pages."""

import re

from mlflow.protos import databricks_pb2, mlflow_artifacts_pb2, model_registry_pb2, service_pb2, webhooks_pb2
from serving import serve

ELSEWHERE = re.compile(
    r"trace|gateway|scorer|workspace|assessment|issue|label-schema|review-queue|prompt|budget|guardrail|secret|jobs"
    r"|/mlflow/datasets"
)


def operations() -> list[str]:
    """`<method> <path>` of each, the parts of a path that vary in braces."""
    found = {"GET /health", "GET /version", "GET /api/3.0/mlflow/server-info"}
    for module in (service_pb2, model_registry_pb2, mlflow_artifacts_pb2, webhooks_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                    # A path without a slash before it belongs to a page.
                    if endpoint.path.startswith("/") and not ELSEWHERE.search(endpoint.path.lower()):
                        path = re.sub(r"<path:(\w+)>", r"{\1}", endpoint.path)
                        found.add(f"{endpoint.method} /api/{endpoint.since.major}.0{path}")
    return sorted(found)


serve({"operations": operations})
