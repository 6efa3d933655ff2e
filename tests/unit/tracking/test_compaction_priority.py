"""Compaction gives way to acknowledgements, until it is far behind."""

import os
import sys
import threading

import pytest

from penstock_tracking.segments.compactor import NICENESS, WorkThread


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
async def test_its_thread_has_a_low_priority_unless_it_is_urgent() -> None:
    usual = _priority()
    work = WorkThread()
    try:
        assert await work(_priority) == NICENESS
        work.urgent = True
        assert await work(_priority) == usual
        work.urgent = False
        assert await work(_priority) == NICENESS
    finally:
        work.close()
