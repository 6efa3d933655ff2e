"""Runs of W&B that were logged offline: `WandbOfflineSource` reads `wandb/offline-run-<time>-<id>/run-<id>.wandb`.

The files are read here and not with the package `wandb`: its reader was private, and is in its Go binary since.
"""

from penstock.importers.wandb.source import WandbOfflineSource

__all__ = ["WandbOfflineSource"]
