"""What an operator may set, each from the environment variable `PENSTOCK_GATEWAY_<NAME>`."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ENVIRONMENT_PREFIX", "ListenSettings", "Settings"]

ENVIRONMENT_PREFIX = "PENSTOCK_GATEWAY"


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    """Where and how to listen.

    Attributes:
        http_address: Where to serve HTTP, `host:port`; port 0 takes a free one.
        grpc_address: Where to serve gRPC, `host:port`; port 0 takes a free one.
        tls_certificate_file: PEM file of the certificate chain, for both ports.
        tls_key_file: PEM file of its private key.
        insecure_off_loopback: Serve without TLS on an address that other machines reach. Tokens then travel in the clear.
    """

    http_address: str = "127.0.0.1:7070"
    grpc_address: str = "127.0.0.1:7071"
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    insecure_off_loopback: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings(ListenSettings):
    """Settings of the gateway.

    Attributes:
        auth_address: Where the auth service listens, `host:port`. Several as for `tracking_address`.
        tracking_address: Where the tracking service listens, `host:port`. Of several replicas all, separated by commas, as IP
            addresses; or one name that leads to all of them. Calls take turns among those that serve.
        registry_address: Where the registry service listens, likewise.
        artifact_address: Where the artifact service listens, likewise.
        dashboard_url: Where the dashboard listens, `http://host:port`. Empty: its pages say that it is starting.
        public_hosts: Names, separated by commas, under which people reach this gateway. Loopback names and IP addresses
            are always accepted; any other `Host` is refused.
        public_grpc_address: The gRPC address to tell clients, `host:port`, when it is not the one listened on.
        metrics_token: Bearer token with which `/metrics` may be read from another machine. Empty: from this one only.
        drain_s: How long calls in progress may go on after a stop, in seconds.
        exit_with_parent: End when standard input ends: a launcher that dies takes the gateway along.
    """

    auth_address: str
    tracking_address: str
    registry_address: str
    artifact_address: str
    dashboard_url: str = ""
    public_hosts: str = ""
    public_grpc_address: str = ""
    metrics_token: str = ""
    drain_s: float = 5.0
    exit_with_parent: bool = False
