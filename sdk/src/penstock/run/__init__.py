"""The API of a training process: `init`, `Run`, `log`, `finish`.

Owns what users call and what they see. Writes through `penstock.spool` and starts senders; imports no gRPC, so that a
training process may fork, and starts in milliseconds.
"""

from penstock.run.active import active_run
from penstock.run.init import alert, finish, init, log
from penstock.run.receipt import Receipt
from penstock.run.run import Metric, Run

__all__ = ["Metric", "Receipt", "Run", "active_run", "alert", "finish", "init", "log"]
