"""The tracking service as a process: settings → stores → guard → serve."""

from penstock_kit.process import run_service
from penstock_tracking.app import build, open_stores
from penstock_tracking.settings import TrackingSettings

__all__ = ["main"]


def main() -> None:
    """Runs the service until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    run_service("tracking", TrackingSettings, open_stores, build)


if __name__ == "__main__":
    main()
