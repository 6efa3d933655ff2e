"""Mantine's theme: one brand colour, the system's fonts, calm radii. The colours of surfaces are in `static/base.css`."""

from typing import Any

__all__ = ["THEME"]

THEME: dict[str, Any] = {
    "primaryColor": "water",
    "primaryShade": {"light": 7, "dark": 5},
    "fontFamily": "var(--penstock-font)",
    "fontFamilyMonospace": "var(--penstock-mono)",
    "headings": {"fontFamily": "var(--penstock-font)", "fontWeight": "650"},
    "defaultRadius": "md",
    "cursorType": "pointer",
    "focusRing": "auto",
    "colors": {
        "water": [
            "#e5f7fc",
            "#d3ebf3",
            "#a8d6e5",
            "#79c0d7",
            "#53adcb",
            "#3ba2c4",
            "#2a9dc2",
            "#0b7a99",
            "#08697f",
            "#005b73",
        ],
    },
}
