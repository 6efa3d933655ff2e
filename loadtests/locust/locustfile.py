"""What `locust -f` loads: gRPC on gevent, the scenarios, and the objectives, which are checked when the run is over."""

from pathlib import Path
from typing import Any

import gevent
import grpc.experimental.gevent
from locust import User, events
from locust.env import Environment
from locust.runners import WorkerRunner

# After Locust has patched the standard library, and before anything of gRPC is made.
grpc.experimental.gevent.init_gevent()

from loadtests.locust.objectives import Objective, check, print_outcomes, read_objectives  # noqa: E402 - see above
from loadtests.locust.scenarios import BrowseUser, IngestUser, fill  # noqa: E402 - see above

__all__ = ["OBJECTIVES", "BrowseUser", "IngestUser"]

CHANNELS_MAX = 2_000
"""gRPC waits for each channel in a thread of gevent's pool. With no more than its ten, calls would wait a second for one."""

OBJECTIVES: dict[type[User], list[Objective]] = {
    IngestUser: [
        Objective("batch until durable", "p99_ms", 250),
        Objective("batch until durable", "failure_ratio", 0),
        Objective("every point is there once", "failure_ratio", 0),
    ],
    BrowseUser: [
        Objective("search", "p95_ms", 250),
        Objective("search", "failure_ratio", 0),
        Objective("search by HTTP", "p95_ms", 250),
        Objective("search by HTTP", "failure_ratio", 0),
        Objective("run page", "p95_ms", 500),
        Objective("run page", "failure_ratio", 0),
        Objective("charts of 5 runs × 10 metrics", "p95_ms", 500),
        Objective("charts of 5 runs × 10 metrics", "failure_ratio", 0),
        Objective("first word of a watched run", "p95_ms", 250),
        Objective("first word of a watched run", "failure_ratio", 0),
    ],
}
"""By the users who make the requests."""


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument(
        "--objectives",
        metavar="FILE",
        default="",
        help="objectives of your own: JSON, a list of request, measure, limit",
    )


@events.init.add_listener
def _before(environment: Environment, **_: Any) -> None:
    gevent.get_hub().threadpool.maxsize = CHANNELS_MAX
    # Before the time of the run begins; and once, where several processes share the users.
    if not isinstance(environment.runner, WorkerRunner):
        fill()


@events.quitting.add_listener
def _after(environment: Environment, **_: Any) -> None:
    chosen = environment.parsed_options.objectives if environment.parsed_options is not None else ""
    wanted = (
        read_objectives(Path(chosen))
        if chosen
        else [objective for user in environment.user_classes for objective in OBJECTIVES[user]]
    )
    outcomes = check(environment.stats, wanted)
    print_outcomes(outcomes)
    environment.process_exit_code = 0 if all(outcome.met for outcome in outcomes) else 1
