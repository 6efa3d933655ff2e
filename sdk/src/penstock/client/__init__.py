"""The query client: `Client` for scripts and notebooks, `AsyncClient` for servers. Both have the same methods.

    from penstock import Client

    with Client() as client:
        table = client.runs("digits", columns=["display_name", 'metrics."val/loss"'], order_by="start_time desc").to_pandas()

`penstock.client._sync` is generated from `penstock.client._async` by `deploy/tools/unasync.py`.
"""

from penstock.client._async.client import AsyncClient
from penstock.client._async.paging import AsyncPages, AsyncPoints
from penstock.client._sync.client import Client
from penstock.client._sync.paging import Pages, Points
from penstock.client.tables import Rows

__all__ = ["AsyncClient", "AsyncPages", "AsyncPoints", "Client", "Pages", "Points", "Rows"]
