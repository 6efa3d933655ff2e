"""The services behind the gateway: which RPCs each serves, one channel to each, and whether it is ready.

A service may have several replicas. Its channel spreads calls over those that say by their health that they serve; a stream
stays with the replica that it began on.
"""

import asyncio
import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2

from penstock.api.artifact.v1 import artifact_service_pb2
from penstock.api.auth.v1 import auth_service_pb2
from penstock.api.registry.v1 import registry_service_pb2
from penstock.api.tracking.v1 import tracking_service_pb2
from penstock_kit.settings import SettingsError

__all__ = ["SERVICES", "Backend", "Backends"]

SERVICES: Mapping[str, ServiceDescriptor] = {
    "auth": auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
    "tracking": tracking_service_pb2.DESCRIPTOR.services_by_name["TrackingService"],
    "registry": registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"],
    "artifact": artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"],
}
"""The services of the platform, by the name of the backend that serves each."""

HEALTH_TIMEOUT_S = 2.0

SILENCE_MS: Final = 15_000  # of a replica with calls, until it is asked for a sign of life; services allow every 10 s
PING_TIMEOUT_MS: Final = 5_000  # to answer

_CHANNEL_OPTIONS = (
    # The services behind the gateway are trusted and bound their answers themselves.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A retry is the client's decision: it knows whether its call may be repeated.
    ("grpc.enable_retries", 0),
    # A restarted service is to be found at once, not after gRPC's 20 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    # A replica that is frozen, or whose machine is gone, closes no connection: its calls end when it answers no ping.
    ("grpc.keepalive_time_ms", SILENCE_MS),
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
)


@dataclass(frozen=True)
class Backend:
    """One service and the channel to its replicas."""

    name: str
    service: ServiceDescriptor
    channel: Any  # grpc.aio.Channel, whose stubs know no calls of bytes

    async def ready(self) -> bool:
        """Asks a replica whether it serves. False too when none is there that does, or none answers in `HEALTH_TIMEOUT_S`."""
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(
                health_pb2.HealthCheckRequest(service=self.service.full_name), timeout=HEALTH_TIMEOUT_S
            )
        except grpc.aio.AioRpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


class Backends:
    """All services. Must be made within the event loop that uses it.

    Args:
        addresses: `host:port` by backend name, for every name in `SERVICES`; of several replicas all, separated by commas.

    Raises:
        SettingsError: One of several addresses is not an IP address with a port.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        targets = {name: _target(name, addresses[name]) for name in SERVICES}
        self._backends = [
            Backend(name, service, grpc.aio.insecure_channel(targets[name], options=_options(service)))
            for name, service in SERVICES.items()
        ]
        self._by_service = {backend.service.full_name: backend for backend in self._backends}

    def __getitem__(self, name: str) -> Backend:
        """The backend with a name of `SERVICES`."""
        return next(backend for backend in self._backends if backend.name == name)

    def by_service(self, full_name: str) -> Backend | None:
        """The backend that serves a service, None if none does."""
        return self._by_service.get(full_name)

    def methods(self) -> Iterator[tuple[str, tuple[Backend, MethodDescriptor]]]:
        """All RPCs: the gRPC path (`/package.Service/Method`), the backend that serves it, its descriptor."""
        for backend in self._backends:
            for method in backend.service.methods:
                yield f"/{backend.service.full_name}/{method.name}", (backend, method)

    async def ready(self) -> dict[str, bool]:
        """Asks every service whether it serves."""
        answers = await asyncio.gather(*(backend.ready() for backend in self._backends))
        return {backend.name: answer for backend, answer in zip(self._backends, answers, strict=True)}

    async def close(self) -> None:
        """Closes the channels; calls in progress are cancelled."""
        await asyncio.gather(*(backend.channel.close() for backend in self._backends))


def _target(backend: str, addresses: str) -> str:
    """Returns what gRPC is to resolve. A single name may stand for several replicas, which it looks up again and again."""
    several = [address.strip() for address in addresses.split(",") if address.strip()]
    if len(several) <= 1:
        return addresses.strip()
    versions = {_ip_version(address) for address in several}
    if versions not in ({4}, {6}):
        raise SettingsError(
            f"The addresses of {backend}, {addresses}, are not all of the form 127.0.0.1:7171, or all of the form "
            "[::1]:7171: give IP addresses, or one name that leads to all replicas."
        )
    return f"ipv{versions.pop()}:{','.join(several)}"


def _ip_version(address: str) -> int | None:
    host, _, port = address.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]")).version if port.isdecimal() else None
    except ValueError:
        return None


def _options(service: ServiceDescriptor) -> tuple[tuple[str, Any], ...]:
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        # A replica that starts, stops or lost auth says so, and is left alone until it serves again.
        "healthCheckConfig": {"serviceName": service.full_name},
    }
    return (*_CHANNEL_OPTIONS, ("grpc.service_config", json.dumps(config)))
