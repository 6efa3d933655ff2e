"""The registry service as a process: settings → stores → guard → serve."""

from penstock_kit.process import run_service
from penstock_registry.app import build, open_stores
from penstock_registry.settings import RegistrySettings

__all__ = ["main"]


def main() -> None:
    """Runs the service until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    run_service("registry", RegistrySettings, open_stores, build)


if __name__ == "__main__":
    main()
