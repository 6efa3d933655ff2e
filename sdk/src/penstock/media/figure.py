"""Figures of matplotlib and Plotly."""

import io
from typing import Any, ClassVar, Final

from penstock.errors import InvalidInput, InvalidType
from penstock.media.base import Encoded, Media

__all__ = ["Figure", "is_figure"]

PLOT_BYTES_MAX: Final = 50_000_000


def is_figure(value: Any) -> bool:
    """Whether it is a figure of matplotlib or Plotly."""
    return _maker(value) in {"matplotlib", "plotly"}


def _maker(value: Any) -> str:
    """The package whose figure it is, also of a subclass; empty if it is none."""
    wanted = {"matplotlib": "savefig", "plotly": "to_json"}
    for base in type(value).__mro__:
        package = base.__module__.partition(".")[0]
        if package in wanted and hasattr(value, wanted[package]):
            return package
    return ""


class Figure(Media):
    """A figure of matplotlib, which becomes PNG, or of Plotly, which stays what it is and is drawn in the browser.

    Args:
        data: The figure.
        caption: What it shows, at most 2,000 characters.

    Raises `InvalidType` if it is no figure.
    """

    kind: ClassVar[str] = "image"

    def __init__(self, data: Any, caption: str = "") -> None:
        super().__init__(caption)
        self._maker = _maker(data)
        if not self._maker:
            raise InvalidType(f"A figure must be one of matplotlib or Plotly, not {type(data).__name__}.")
        self._data = data
        if self._maker == "plotly":
            self.kind = "plot"  # type: ignore[misc]  # what it is shown as depends on who made it

    def encoded(self) -> Encoded:
        """A PNG, or Plotly's JSON of at most 50,000,000 bytes. Raises `InvalidInput` if it is larger."""
        if self._maker == "plotly":
            data = self._data.to_json().encode()
            if len(data) > PLOT_BYTES_MAX:
                raise InvalidInput(
                    f"The figure has {len(data):,} bytes as JSON, at most {PLOT_BYTES_MAX:,} are allowed."
                )
            return Encoded(data, ".json", "application/json")
        buffer = io.BytesIO()
        self._data.savefig(buffer, format="png")
        return Encoded(buffer.getvalue(), ".png", "image/png")
