"""The load of the machine while a run goes on: processor, memory, disk, network, accelerators.

Measured with psutil, and with NVIDIA's management library when it can be imported (extra `penstock[gpu]`). Keys are
`system/...`; percentages are 0 to 100, sizes bytes, rates bytes per second.
"""

import time
from typing import Any

__all__ = ["SystemMetrics"]


class SystemMetrics:
    """Measures since the measurement before. Make and use it in one thread."""

    def __init__(self) -> None:
        import psutil  # 20 ms that a run without system metrics need not pay

        self._psutil = psutil
        self._process = psutil.Process()
        self._process.cpu_percent(None)
        psutil.cpu_percent(None)
        self._before = (time.monotonic(), self._counters())
        self._nvml, self._devices = _nvidia()

    def measure(self) -> dict[str, float]:
        """The values now, by key. What cannot be measured here is left out."""
        row: dict[str, float] = {"system/cpu_percent": self._psutil.cpu_percent(None)}
        memory = self._psutil.virtual_memory()
        row["system/memory_percent"] = memory.percent
        row["system/memory_used_bytes"] = memory.total - memory.available
        try:
            row["system/process_cpu_percent"] = self._process.cpu_percent(None)
            row["system/process_memory_bytes"] = self._process.memory_info().rss
            row["system/process_threads"] = self._process.num_threads()
        except self._psutil.Error:
            pass
        now = (time.monotonic(), self._counters())
        seconds = now[0] - self._before[0]
        if seconds > 0:
            for key, value in now[1].items():
                if key in self._before[1]:
                    row[key] = max(value - self._before[1][key], 0) / seconds
        self._before = now
        row.update(self._accelerators())
        return row

    def _counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        try:
            disk = self._psutil.disk_io_counters()
            network = self._psutil.net_io_counters()
        except (OSError, RuntimeError):
            # Containers without /proc/diskstats, for one.
            return counters
        if disk is not None:
            counters["system/disk_read_bytes_per_s"] = disk.read_bytes
            counters["system/disk_write_bytes_per_s"] = disk.write_bytes
        if network is not None:
            counters["system/network_received_bytes_per_s"] = network.bytes_recv
            counters["system/network_sent_bytes_per_s"] = network.bytes_sent
        return counters

    def _accelerators(self) -> dict[str, float]:
        row: dict[str, float] = {}
        for index, device in enumerate(self._devices):
            prefix = f"system/gpu.{index}"
            for key, read in (
                ("utilization_percent", lambda d: self._nvml.nvmlDeviceGetUtilizationRates(d).gpu),
                ("memory_used_bytes", lambda d: self._nvml.nvmlDeviceGetMemoryInfo(d).used),
                ("temperature_celsius", lambda d: self._nvml.nvmlDeviceGetTemperature(d, 0)),
                ("power_watts", lambda d: self._nvml.nvmlDeviceGetPowerUsage(d) / 1000),
            ):
                try:
                    row[f"{prefix}/{key}"] = float(read(device))
                except self._nvml.NVMLError:
                    # Not every device measures everything.
                    continue
        return row


def _nvidia() -> tuple[Any, list[Any]]:
    try:
        import pynvml  # type: ignore[missing-import]  # an extra: penstock[gpu]

        pynvml.nvmlInit()
        return pynvml, [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:
        # Not installed, no driver, no permission: each is a machine without NVIDIA metrics, and none is an error.
        return None, []
