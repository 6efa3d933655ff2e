"""Which kind of store a tracking URI names."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from penstock.errors import InvalidInput, NotFound
from penstock.importers.mlflow.database import MlflowDatabase, is_database
from penstock.importers.mlflow.folder import MlflowFolder
from penstock.importers.mlflow.server import MlflowServer
from penstock.importers.model import Source

__all__ = ["mlflow_source"]


def mlflow_source(uri: str) -> Source:
    """The runs behind a tracking URI: a folder or `file:`, a database file or `sqlite:`, or `http(s)://`.

    Raises:
        InvalidInput: It is of another kind.
        NotFound: There is no such file or folder.
        MissingExtra: A folder needs the package PyYAML, which is not installed.
    """
    scheme = urlsplit(uri).scheme if "://" in uri or uri.startswith("file:") else ""
    if scheme in ("http", "https"):
        return MlflowServer(uri)
    if scheme == "sqlite":
        # Three slashes before a relative path, four before an absolute one.
        return MlflowDatabase(Path(unquote(urlsplit(uri).path.removeprefix("/"))))
    if scheme not in ("", "file"):
        raise InvalidInput(
            f"MLflow stores of the kind {scheme}:// are not read directly. Give the address of the tracking server in front "
            "of it, http://..., or start one: `mlflow server --backend-store-uri ...`."
        )
    path = Path(unquote(urlsplit(uri).path) if scheme else uri)
    if path.is_file() and is_database(path):
        return MlflowDatabase(path)
    if not path.is_dir():
        raise NotFound(f"There is no folder or database {path.absolute()}.", reason="SOURCE_NOT_FOUND")
    return MlflowFolder(path / "mlruns" if (path / "mlruns").is_dir() else path)
