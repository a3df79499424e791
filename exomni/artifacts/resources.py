"""What a job needs of a machine. It decides where the job can run and never what comes out."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """Cores and GPUs count for one node."""

    cpus: int = 1
    gpus: int = 0
    nodes: int = 1
    memory_mb: int | None = None  # None: unknown, and not watched
    minutes: int | None = None  # None: as long as it takes

    @staticmethod
    def together(needs: Sequence[Resources]) -> Resources:
        """What one process needs that does several things one after the other. Without any: one core."""
        memories = [need.memory_mb for need in needs if need.memory_mb is not None]
        minutes = [need.minutes for need in needs]
        return Resources(
            cpus=max((need.cpus for need in needs), default=1),
            gpus=max((need.gpus for need in needs), default=0),
            nodes=max((need.nodes for need in needs), default=1),
            memory_mb=max(memories, default=None),
            minutes=None if None in minutes or not minutes else sum(minute for minute in minutes if minute is not None),
        )

    def __str__(self) -> str:
        parts = [f"{self.cpus} core{'s' if self.cpus > 1 else ''}"]
        parts += [f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"] if self.gpus else []
        parts += [f"{self.memory_mb} MB"] if self.memory_mb else []
        return ", ".join(parts) + (f" on each of {self.nodes} nodes" if self.nodes > 1 else "")


def available_cores() -> int:
    """Cores that this process may use: its affinity mask, cut by a container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def available_memory_mb() -> int | None:
    """Memory of this machine, cut by a container's limit; None where it cannot be told."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20)
    with contextlib.suppress(OSError, ValueError):
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        found += [int(limit) >> 20] if limit != "max" else []
    return min(found, default=None)


def available_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; asked of the driver, not of PyTorch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return tuple(name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
        return tuple(str(index) for index, line in enumerate(listed.splitlines()) if line.startswith("GPU "))
    return ()
