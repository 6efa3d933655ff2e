"""Sends spools: reads what a training process wrote, streams it to the server, and ends the run there.

Runs as a process of its own, `python -m penstock.sender <spool>`, or inside `penstock sync` through `sync`.
"""

from penstock.sender.sync import SyncProgress, SyncResult, sync

__all__ = ["SyncProgress", "SyncResult", "sync"]
