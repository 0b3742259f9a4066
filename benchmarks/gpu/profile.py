"""Counters of the hardware, by ncu, of the forward kernel of one workload."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.findings import Finding, Recorder
from benchmarks.gpu.machines import Watched

METRICS = (
    "gpu__time_duration.sum",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "l1tex__data_bank_conflicts_pipe_lsu.sum",
    "lts__t_bytes.sum",
    "dram__bytes.sum",
)
RESERVE = 3.0


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    if host:
        found.add("ncu", None, "there are no counters without a GPU")
        return
    program = shutil.which("ncu") or "/usr/local/cuda/bin/ncu"
    if not Path(program).exists():
        found.add("ncu", None, "it is not installed")
        return
    # The clocks are left as they are. The first launches warm up.
    command = [program, "--clock-control", "none", "--kernel-name", "forward", "--launch-skip", "2"]
    command += ["--launch-count", "1", "--metrics", ",".join(METRICS), "--csv"]
    command += [sys.executable, "-m", "benchmarks.gpu.solve", "wide"]
    seconds = max(found.seconds_left - RESERVE, 0.0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        found.add("ncu", False, "stopped: there is no time left")
        return
    counters = list(counted(done.stdout))
    if not counters:
        found.add("ncu", None, f"it counts nothing here: {(done.stdout + done.stderr).strip()[-400:]}")
    for one in counters:
        found.add(one.what, one.passed, one.text)


def counted(output: str) -> Iterator[Finding]:
    """The counters in what ncu prints: a table in CSV among other lines."""
    lines = output.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith('"ID"')]
    if not starts:
        return
    for row in csv.DictReader(lines[starts[0] :]):
        if row.get("Metric Name"):
            yield Finding(row["Metric Name"], None, f"{row['Metric Value']} {row['Metric Unit']}".strip())
