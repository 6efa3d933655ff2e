"""Pages of MLflow, which may hold more than one of a service's."""

from typing import Any, Final

from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.errors import invalid

__all__ = ["pages"]

SERVICE_PAGE_MAX: Final = 1_000
TOKEN_CHARS_MAX: Final = 4_096


async def pages(
    call: Call, method: str, request: Any, field: str, wanted: int, page_token: str
) -> tuple[list[Any], str]:
    """Calls a listing method until `wanted` resources are there. Returns these, and the token to go on with.

    Args:
        call: The request of the client.
        method: A method whose requests have `page_size` and `page_token`.
        request: Its request without these.
        field: The field of its answers with the resources.
        wanted: At least 1.
        page_token: Of the client, empty for the first page.
    """
    if len(page_token) > TOKEN_CHARS_MAX:
        raise invalid("Invalid page token")
    found: list[Any] = []
    request.page_token = page_token
    while True:
        request.page_size = min(wanted - len(found), SERVICE_PAGE_MAX)
        try:
            answer = await call.rpc(method, request)
        except RpcFailed as error:
            if reason_of(error) == "PAGE_TOKEN_INVALID":
                raise invalid("Invalid page token") from None
            raise
        found.extend(getattr(answer, field))
        request.page_token = answer.next_page_token
        if not answer.next_page_token or len(found) >= wanted:
            return found, answer.next_page_token
