"""`python -m loadtests.locust [OPTION...] [USER...]`: runs the scenarios and checks the objectives.

Against the server of PENSTOCK_URL and PENSTOCK_TOKEN, or, without them, against a platform of its own, which it starts
with `penstock up` and the options of PENSTOCK_LOADTEST_UP, and stops afterwards. Options and users are those of the `locust`
command; what is not said is said here.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
# The later one of two equal options counts.
DEFAULTS = (
    "--headless",
    "--users",
    "50",
    "--spawn-rate",
    "25",
    "--run-time",
    "60s",
    "--only-summary",
    "--stop-timeout",
    "10",
)


def run(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Runs Locust against the server that the environment names. Returns its exit status: 1 if an objective was missed."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *DEFAULTS, *arguments]
    paths = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")]))
    return subprocess.run(command, env={**environment, "PYTHONPATH": paths}, check=False).returncode


def main(arguments: list[str]) -> int:
    if os.environ.get("PENSTOCK_URL"):
        return run(arguments, os.environ)
    sys.path.insert(0, str(ROOT / "tests"))  # the platform is started as the tests start it
    from support.platform import running_platform

    up = shlex.split(os.environ.get("PENSTOCK_LOADTEST_UP", ""))
    with tempfile.TemporaryDirectory() as folder, running_platform(Path(folder), *up) as platform:
        found = {"PENSTOCK_URL": platform.http, "PENSTOCK_TOKEN": platform.token}
        return run(arguments, {**os.environ, **platform.env, **found})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
