"""The artifact service as a process: settings → stores → guard → serve."""

from penstock_artifact.app import build, open_stores
from penstock_artifact.settings import ArtifactSettings
from penstock_kit.process import run_service

__all__ = ["main"]


def main() -> None:
    """Runs the service until SIGTERM or SIGINT. Exits with 1 and one line on stderr if it cannot start."""
    run_service("artifact", ArtifactSettings, open_stores, build)


if __name__ == "__main__":
    main()
