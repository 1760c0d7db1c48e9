"""The machine in words, and the rate of matrix arithmetic that it can reach at best."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SGEMM = """
import time, torch
torch.set_num_threads(1)
a, b = torch.randn(768, 768), torch.randn(768, 768)
out = torch.empty(768, 768)
for _ in range(5): torch.mm(a, b, out=out)
begin, count = time.perf_counter(), 0
while time.perf_counter() - begin < 2.0:
    torch.mm(a, b, out=out)
    count += 1
print(count * 2 * 768**3 / (time.perf_counter() - begin))
"""


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> str:
    """Cores, processor, memory, Python and torch."""
    import platform
    from importlib.metadata import version

    cpu, memory = platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return (
        f"{cores()} cores of {cpu}{memory} of memory, no GPU used; "
        f"Python {platform.python_version()}, torch {version('torch').split('+')[0]}"
    )


def busy() -> str:
    """What to tell the reader when others use the machine too; empty when it is quiet."""
    load = os.getloadavg()[0]
    if load < 0.3 * cores():
        return ""
    return f"The machine was busy when the run began (load {load:.1f} on {cores()} cores)."


def sgemm_ceiling() -> float:
    """Single-precision FLOP/s of the whole machine: one busy process a core, one thread each."""
    command = [sys.executable, "-c", SGEMM]
    busy = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(cores())]
    rates = [float(process.communicate()[0]) for process in busy]
    if any(process.returncode for process in busy):
        raise RuntimeError("the measurement of the matrix ceiling failed")
    return sum(rates)
