"""Mantine's theme: one brand colour, the system's fonts, calm radii. The colours of surfaces are in `static/base.css`."""

from typing import Any

__all__ = ["THEME"]

THEME: Any = {
    "primaryColor": "water",
    "primaryShade": {"light": 7, "dark": 5},
    "fontFamily": "var(--penstock-font)",
    "fontFamilyMonospace": "var(--penstock-mono)",
    "headings": {"fontFamily": "var(--penstock-font)", "fontWeight": "650"},
    "defaultRadius": "md",
    "cursorType": "pointer",
    "focusRing": "auto",
    "colors": {
        "gray": [
            "#f7f9fb",
            "#f1f5f8",
            "#e6ecf1",
            "#dfe6ec",
            "#c9d4dd",
            "#a9b7c3",
            "#7d8d9b",
            "#5a6b7b",
            "#35434f",
            "#17232e",
        ],
        "dark": [
            "#e4ebf0",
            "#c3ced7",
            "#93a4b2",
            "#6b7c8a",
            "#33414c",
            "#242f38",
            "#1a2229",
            "#0f1418",
            "#0c1114",
            "#080b0e",
        ],
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
