"""Icons: our own drawings, shown as masks so that they take the colour of the text around them."""

from dash import html

__all__ = ["icon"]


def icon(name: str, size_px: int = 18) -> html.Span:
    """The drawing `static/icons/<name>.svg`. It says nothing to screen readers: the control around it has a label."""
    mask = f"url(/static/icons/{name}.svg)"
    return html.Span(
        className="glyph",
        style={"maskImage": mask, "WebkitMaskImage": mask, "width": f"{size_px}px", "height": f"{size_px}px"},
        **{"aria-hidden": "true"},
    )
