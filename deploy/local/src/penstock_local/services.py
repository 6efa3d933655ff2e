"""The services beside auth: what each is told when it starts, the same in one process and in processes of their own."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock_local.datadir import DataDirectory
from penstock_local.stores import StoreUrls

if TYPE_CHECKING:
    from penstock_kit.application import Application
    from penstock_kit.clock import Clock

__all__ = ["SERVICES", "Parts", "Service"]


@dataclass(frozen=True)
class Parts:
    """What a service is made of, once its package is imported.

    Attributes:
        settings: The class of its settings.
        open_stores: Opens the stores that the settings name.
        build: Makes the service over its stores, which it takes over.
    """

    settings: type[Any]
    open_stores: Callable[[Any, "Clock"], Awaitable[Any]]
    build: Callable[[Any, Any, "Clock"], "Application"]


@dataclass(frozen=True)
class Service:
    """A service that others guard and that keeps things in stores.

    Attributes:
        name: Of its package `penstock_<name>`, its settings `PENSTOCK_<NAME>_...`, its directory and its log.
        stores: Which of its settings are which URLs of `StoreUrls`.
        parts: Imports the service, which takes a while.
        passed: Which of its settings the environment of the launcher sets as well.
        asks: Which services before it it calls: it is told their addresses.
    """

    name: str
    stores: Mapping[str, str]
    parts: Callable[[], Parts]
    passed: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What the names of its settings begin with in the environment."""
        return f"PENSTOCK_{self.name.upper()}"

    def environment(
        self, data: DataDirectory, stores: StoreUrls, addresses: Mapping[str, str], **settings: str
    ) -> dict[str, str]:
        """Its settings as environment variables, with further ones by their names.

        Args:
            data: Where it keeps things.
            stores: Where else.
            addresses: Of auth and of the services before it, by their names.
            settings: Further ones.
        """
        values = {
            "data_dir": str(data.of(self.name)),
            **{f"{name}_address": addresses[name] for name in ("auth", *self.asks)},
            "service_credential_file": str(data.service_credential_file),
            **{setting: getattr(stores, url) for setting, url in self.stores.items()},
            **{name: os.environ.get(f"{self.prefix}_{name.upper()}", "") for name in self.passed},
            **settings,
        }
        return {f"{self.prefix}_{name.upper()}": value for name, value in values.items()}


def _tracking() -> Parts:
    from penstock_tracking.app import build, open_stores
    from penstock_tracking.settings import TrackingSettings

    return Parts(TrackingSettings, open_stores, build)


def _registry() -> Parts:
    from penstock_registry.app import build, open_stores
    from penstock_registry.settings import RegistrySettings

    return Parts(RegistrySettings, open_stores, build)


def _artifact() -> Parts:
    from penstock_artifact.app import build, open_stores
    from penstock_artifact.settings import ArtifactSettings

    return Parts(ArtifactSettings, open_stores, build)


SERVICES = (
    Service(
        "tracking",
        {"documents_url": "documents", "metric_log_url": "metric_log", "hot_url": "hot", "blobs_url": "blobs"},
        _tracking,
    ),
    Service(
        "artifact",
        {"documents_url": "artifact_documents", "blobs_url": "artifact_blobs", "s3_public_url": "artifact_s3_public"},
        _artifact,
    ),
    Service(
        "registry",
        {"documents_url": "registry_documents", "blobs_url": "registry_blobs"},
        _registry,
        passed=("webhook_hosts",),
        asks=("tracking", "artifact"),
    ),
)
"""The services beside auth, in the order of their start."""
