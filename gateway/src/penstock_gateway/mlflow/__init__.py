"""MLflow's REST API, for MLflow's own clients: a translation between its JSON and the services' gRPC.

One module per resource; no storage, and no rule that a service has. What MLflow's documentation promises and the platform's
own contract says otherwise is said here, or is an explicit field of a request.
"""
