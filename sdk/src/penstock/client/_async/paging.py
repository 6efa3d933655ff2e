"""Lists that fetch their pages as they are read, and points that stream. At most one page is held at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from penstock.api.tracking.v1 import metric_pb2
from penstock.client.runtime_async import Stream
from penstock.client.tables import arrow_points, arrow_points_schema, arrow_table, require, to_pandas, to_polars

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["AsyncPages", "AsyncPoints"]

PAGE_SIZE = 500
"""Items that are asked for at once, unless fewer are wanted."""

Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)


class Fetch(Protocol[ItemOut]):
    """Fetches one page."""

    async def __call__(self, page_size: int, page_token: str) -> tuple[Sequence[ItemOut], str]:
        """The items of the page and the token of the next; an empty token after the last."""
        ...


class AsyncPages(Generic[Item]):
    """A list on the server. Iterating fetches it page by page; each iteration asks anew.

    Args:
        fetch: Fetches one page.
        row_of: The row of a table that stands for an item.
        columns: Columns that a table has even when it has no rows.
        limit: How many items at most; None means all.
    """

    def __init__(
        self,
        fetch: Fetch[Item],
        row_of: Callable[[Item], Mapping[str, Any]],
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> None:
        self._fetch = fetch
        self._row_of = row_of
        self._columns = columns
        self._limit = limit

    def __repr__(self) -> str:
        most = "" if self._limit is None else f" of at most {self._limit:,}"
        how = "fetched when read: iterate, or to_list(), to_arrow(), to_pandas(), to_polars()"
        return f"<{type(self).__name__}{most}, {how}>"

    async def __aiter__(self) -> Stream[Item]:
        left = self._limit
        if left is not None and left <= 0:
            return
        page_size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
        token = ""
        while True:
            items, token = await self._fetch(page_size, token)
            # By index, and let go of before the next page is asked for: an item of our own would keep its page alive.
            for index in range(len(items)):
                yield items[index]
                if left is not None:
                    left -= 1
                    if left == 0:
                        return
            items = ()
            if not token:
                return

    async def to_list(self) -> list[Item]:
        """All items. They must fit in memory."""
        return [item async for item in self]

    async def to_arrow(self) -> "pa.Table":
        """All items as an Arrow table. Raises `MissingExtra`."""
        require("pyarrow", "arrow")
        return arrow_table([self._row_of(item) async for item in self], self._columns)

    async def to_pandas(self) -> "pd.DataFrame":
        """All items as a pandas data frame. Raises `MissingExtra`."""
        return to_pandas(await self.to_arrow())

    async def to_polars(self) -> "pl.DataFrame":
        """All items as a polars data frame. Raises `MissingExtra`."""
        return to_polars(await self.to_arrow())


class AsyncPoints:
    """The points of a run at full resolution. Iterating streams them in pieces; each iteration asks anew.

    A piece is a `MetricSeries` with at most 65,536 points of one metric. Pieces of a metric follow each other in order.

    Args:
        read: Opens the stream.
        by_rank: Whether the ranks come apart.
    """

    def __init__(self, read: Callable[[], Stream[metric_pb2.MetricSeries]], by_rank: bool) -> None:
        self._read = read
        self._by_rank = by_rank

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, fetched when read: iterate, or to_arrow(), to_pandas(), to_polars()>"

    def __aiter__(self) -> Stream[metric_pb2.MetricSeries]:
        return self._read()

    async def to_arrow(self) -> "pa.Table":
        """All points as an Arrow table: key, rank if ranks come apart, step, time, value. Raises `MissingExtra`."""
        pa = require("pyarrow", "arrow")
        pieces = [arrow_points(piece, self._by_rank) async for piece in self]
        return pa.concat_tables([arrow_points_schema(self._by_rank).empty_table(), *pieces])

    async def to_pandas(self) -> "pd.DataFrame":
        """All points as a pandas data frame. Raises `MissingExtra`."""
        return to_pandas(await self.to_arrow())

    async def to_polars(self) -> "pl.DataFrame":
        """All points as a polars data frame. Raises `MissingExtra`."""
        return to_polars(await self.to_arrow())
