"""Series as messages, written by their bytes: the same as written number by number."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.tracking.v1 import metric_pb2
from penstock_tracking.convert import series_to_proto
from penstock_tracking.series.downsample import Buckets
from penstock_tracking.series.points import Points

NAMES = [field.name for field in metric_pb2.MetricBuckets.DESCRIPTOR.fields]
FLOATS = ("mins", "maxs", "means", "lasts")
counts = st.one_of(st.integers(0, 200), st.integers(0, 2**63 - 1))


@given(st.lists(st.tuples(counts, counts, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=20))
def test_buckets(rows: list[tuple[int, int, int, float]]) -> None:
    columns = {}
    for place, name in enumerate(NAMES):
        if name in FLOATS:
            columns[name] = np.array([row[3] for row in rows], np.float64)
        else:
            which = 2 if "steps" in name or "times" in name else place % 2
            columns[name] = np.array([row[which] for row in rows], np.int64)
    message = series_to_proto("run", "loss", 3, 7, Buckets(**columns))
    expected = metric_pb2.MetricSeries(run="run", key="loss", rank=3, total_points=7)
    expected.buckets.SetInParent()
    for name in NAMES:
        getattr(expected.buckets, name).extend(columns[name].tolist())
    assert message == expected
    assert message.HasField("buckets")


def test_points_bit_by_bit() -> None:
    values = np.array([1.0, -0.0, np.nan, np.inf])
    values.view(np.uint64)[2] = 0x7FF8000000000123
    steps = np.array([-(2**63), -1, 0, 2**63 - 1])
    strided = np.stack([values, values], axis=1)[:, 1]
    message = series_to_proto("run", "loss", None, 4, Points(steps, steps[::-1], strided))
    assert list(message.points.steps) == steps.tolist()
    assert list(message.points.times_unix_us) == steps[::-1].tolist()
    assert np.array_equal(np.array(message.points.values).view(np.uint64), values.view(np.uint64))
    assert not message.HasField("rank")
    empty = np.zeros(0, np.int64)
    assert series_to_proto("run", "loss", None, 0, Points(empty, empty, np.zeros(0))).HasField("points")
