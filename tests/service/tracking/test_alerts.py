"""CreateAlert, ListAlerts."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.tracking import Tracking, refused

from penstock.api.tracking.v1 import alert_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit.ids import random_id
from penstock_tracking.alerts import service as alerts_service


async def create(tracking: Tracking, run: str, alert_id: str = "", **fields: Any) -> alert_pb2.Alert:
    request = pb.CreateAlertRequest(
        parent=run, alert_id=alert_id or random_id(), alert=alert_pb2.Alert(**{"title": "loss is NaN", **fields})
    )
    return (await tracking.call("CreateAlert", request)).alert


async def listed(tracking: Tracking, parent: str, **fields: Any) -> pb.ListAlertsResponse:
    return await tracking.call("ListAlerts", pb.ListAlertsRequest(parent=parent, **fields))


async def alert_count(tracking: Tracking, run: str) -> int:
    return (await tracking.call("GetRun", pb.GetRunRequest(name=run))).run.alert_count


async def test_an_alert_is_raised_once_and_listed(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    alert_id = random_id()
    raised = await create(
        tracking,
        run,
        alert_id,
        text="At step 7.",
        level=alert_pb2.ALERT_LEVEL_ERROR,
        step=0,
        alert_time=Timestamp(seconds=1_000),
    )
    assert raised.name == f"{run}/alerts/{alert_id}"
    assert (raised.title, raised.text, raised.HasField("step"), raised.step) == ("loss is NaN", "At step 7.", True, 0)
    assert (raised.level, raised.alert_time.seconds, raised.creator) == (3, 1_000, "users/ada")
    # A repeat changes nothing, also when it says something else, and two at once count once.
    repeats = await asyncio.gather(*(create(tracking, run, alert_id, title="other") for _ in range(4)))
    assert all(repeat == raised for repeat in repeats)
    assert await alert_count(tracking, run) == 1
    assert list((await listed(tracking, run)).alerts) == [raised]


async def test_the_same_alert_twice_at_once_counts_once(tracking: Tracking) -> None:
    run = (await tracking.new_run()).name
    alert_id = random_id()
    raised = await asyncio.gather(*(create(tracking, run, alert_id) for _ in range(8)))
    assert len({alert.SerializeToString() for alert in raised}) == 1
    assert await alert_count(tracking, run) == 1
    assert len((await listed(tracking, run)).alerts) == 1


async def test_alerts_of_a_project_come_newest_first_in_pages(tracking: Tracking) -> None:
    runs = [(await tracking.new_run()).name for _ in range(2)]
    raised = [(await create(tracking, runs[number % 2])).name for number in range(5)]
    first = await listed(tracking, "projects/default", page_size=3)
    rest = await listed(tracking, "projects/default", page_size=3, page_token=first.next_page_token)
    assert [alert.name for alert in (*first.alerts, *rest.alerts)] == raised[::-1]
    assert rest.next_page_token == ""
    assert [alert.name for alert in (await listed(tracking, runs[1])).alerts] == [raised[3], raised[1]]
    other = await refused(listed(tracking, runs[0], page_token=first.next_page_token))
    assert other.reason == "PAGE_TOKEN_INVALID"
    # Nothing else is said: INFO, at no step, now.
    alert = first.alerts[0]
    assert (alert.level, alert.HasField("step"), alert.alert_time) == (1, False, alert.create_time)


async def test_limits_and_what_is_not_there(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    run = (await tracking.new_run()).name
    await create(tracking, run, title="x" * 250, text="x" * 8_000)
    for wrong in ({"title": ""}, {"title": "x" * 251}, {"title": "a\nb"}, {"text": "x" * 8_001}, {"level": 9}):
        assert (await refused(create(tracking, run, **wrong))).code == grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(create(tracking, run, "A" * 32))).code == grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(create(tracking, f"projects/default/runs/{random_id()}"))).reason == "RUN_NOT_FOUND"
    monkeypatch.setattr(alerts_service, "ALERTS_PER_RUN_MAX", 2)
    await create(tracking, run)
    full = await refused(create(tracking, run))
    assert (full.reason, full.metadata["limit"]) == ("TOO_MANY_ENTRIES", "ALERTS_PER_RUN_MAX")
    assert await alert_count(tracking, run) == 2
    await tracking.call("DeleteRun", pb.DeleteRunRequest(name=run))
    assert (await refused(create(tracking, run))).reason == "RUN_DELETED"
