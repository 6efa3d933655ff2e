"""JSON twins: each RPC with a `google.api.http` annotation as an HTTP route, made from the descriptors alone.

`templates` reads paths, `routes` compiles and finds routes, `requests` turns HTTP into a request message, `responses` turns
messages into JSON, `handler` calls the service in between.
"""
