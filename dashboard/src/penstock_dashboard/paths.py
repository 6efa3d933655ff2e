"""Where the page of a resource is: its name, quoted."""

from urllib.parse import quote

__all__ = ["page_of"]


def page_of(name: str) -> str:
    """The path of the page of a resource, given by its full name: `/projects/p/models/a%20b` for a model `a b`."""
    return "/" + "/".join(quote(segment, safe="") for segment in name.split("/"))
