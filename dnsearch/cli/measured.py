"""What `dnsearch compare --measure` measures on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnsearch.search.compared import Measured, Subject


def measure(subjects: Sequence[Subject], batch_size: int, device: str) -> Measured:
    """Latency of one image in eval mode, by torch's own modules, and memory of a training step of
    ``batch_size`` images. Raises ConfigError where there is no such device."""
    from dnsearch.config import StudyConfig, override
    from dnsearch.cost.device import latencies_of
    from dnsearch.cost.latency import Setting
    from dnsearch.machine import cpu_cores
    from dnsearch.search.compared import Measured
    from dnsearch.search.devices import plan_workers
    from dnsearch.training.peak import measured_peak_bytes

    config = override(StudyConfig(), device=device, workers=1)
    where, threads = plan_workers(config.search).devices[0], cpu_cores()
    setting = Setting(where.partition(":")[0], threads, 1, "fp32", "reference")
    latencies = [latencies_of([s.arch], s.shape, setting, where)[0] for s in subjects]
    peaks = [measured_peak_bytes(s.arch, s.shape, batch_size, where, threads) for s in subjects]
    return Measured(tuple(latencies), tuple(peaks), where, threads)
