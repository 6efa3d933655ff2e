"""Penstock: track machine-learning runs. Metrics stream, and never get lost.

    import penstock

    with penstock.init(project="digits", config={"lr": 0.1}) as run:
        for step in range(100):
            run.log({"train/loss": loss, "train/accuracy": accuracy}, step=step)

Everything here is loaded on first use: `import penstock` takes milliseconds, and a training process never imports gRPC.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock import errors
    from penstock.client import AsyncClient, Client
    from penstock.errors import PenstockError
    from penstock.media import Audio, Figure, Histogram, Image, Table, Video
    from penstock.run import Receipt, Run, active_run, alert, finish, init, log

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Audio",
    "Client",
    "Figure",
    "Histogram",
    "Image",
    "PenstockError",
    "Receipt",
    "Run",
    "Table",
    "Video",
    "__version__",
    "active_run",
    "alert",
    "errors",
    "finish",
    "init",
    "log",
]

_HOMES = {
    "AsyncClient": "penstock.client",
    "Audio": "penstock.media",
    "Client": "penstock.client",
    "Figure": "penstock.media",
    "Histogram": "penstock.media",
    "Image": "penstock.media",
    "PenstockError": "penstock.errors",
    "Receipt": "penstock.run",
    "Run": "penstock.run",
    "Table": "penstock.media",
    "Video": "penstock.media",
    "active_run": "penstock.run",
    "alert": "penstock.run",
    "finish": "penstock.run",
    "init": "penstock.run",
    "log": "penstock.run",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("penstock.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
