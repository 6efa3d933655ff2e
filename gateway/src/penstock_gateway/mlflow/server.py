"""What the server says of itself, to whoever asks: clients do before they sign in."""

from typing import Final

from penstock_gateway.mlflow.entities import Json

__all__ = ["MLFLOW_VERSION", "health", "info", "version"]

MLFLOW_VERSION: Final = "3.17.2"
"""Whose API this is. Clients compare it with their own."""


def health() -> bytes:
    """That it is there."""
    return b"OK"


def version() -> bytes:
    """The version of MLflow whose API this is."""
    return MLFLOW_VERSION.encode()


def info() -> Json:
    """What it can do. Clients do not ask for what is off."""
    return {
        "store_type": None,
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "features_enabled": {"gateway": False},
    }
