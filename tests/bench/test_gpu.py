"""The command that checks and measures the CUDA engine on a GPU, where there may be none."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import barrier, machines, parity, programs, publish, speed, table
from benchmarks.gpu.ahead import compiled_ahead, precompile
from benchmarks.gpu.estimates import ESTIMATES
from benchmarks.gpu.findings import DONE, HOST, Finding, Findings, Recorder, file_of, read
from benchmarks.gpu.machines import Launch, machine
from benchmarks.gpu.occupancy import predicted
from benchmarks.gpu.phases import PHASES
from benchmarks.gpu.profile import counted
from benchmarks.gpu.running import ROOT, run_all
from benchmarks.gpu.solves import sized, solved
from cuda.host import Host
from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD
from flashode.engines.cuda.machine import Properties, Resources

# The one that does least without a GPU.
QUICK = PHASES["profile"]
H200 = Properties("sm_90", 132, 227 * 1024, 228 * 1024, 1024, 2048, 141 * 10**9)
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which it would run")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def found(phase: str, *findings: Finding, machine: str = "NVIDIA H200", ended: str = DONE) -> Findings:
    return Findings(phase, machine, "2026-01-02T03:04:05+00:00", ended, 3.0, list(findings))


def test_all_phases_take_eight_minutes_and_leave_eight_files() -> None:
    assert sum(phase.seconds for phase in PHASES.values()) <= 480
    assert len(PHASES) + 1 <= 8


def test_each_phase_has_a_function() -> None:
    assert all(callable(phase.run) for phase in PHASES.values())


def test_a_row_that_is_not_measured_is_not_well(
    compiled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "memory", lambda *_: None)
    monkeypatch.setattr(speed, "precompile", lambda *_: None)
    speed.run(machine(on_host=True), True, Recorder(found("speed"), tmp_path, time.monotonic()))
    kept = read("speed", tmp_path)
    assert kept is not None and [one.text for one in kept.failed] == ["not begun: there is no time left"]


def test_the_last_digits_of_a_failure_do_not_count() -> None:
    said = [
        parity._said(ValueError(f"it fell to {dt} at t = 2")) for dt in ("1.23456789e-17", "1.2345678e-17")
    ]
    assert said[0] == said[1] == "ValueError: it fell to 1.2346e-17 at t = 2"


def test_a_phase_that_takes_too_long_is_stopped_and_the_next_one_runs(tmp_path: Path) -> None:
    slow, quick = run_all([replace(QUICK, seconds=0.2), PHASES["device"]], tmp_path, host=True)
    assert slow.ended == "stopped after 0.2 s"
    assert quick.ended == DONE and quick.machine == HOST and quick.findings and not quick.failed
    assert read("profile", tmp_path) == slow and read("device", tmp_path) == quick
    assert "| profile | Counters of the hardware | stopped after 0.2 s |" in table.text([slow, quick])
    assert not table.is_well([slow, quick])


@no_gpu
def test_a_phase_that_fails_does_not_stop_the_next(tmp_path: Path) -> None:
    both = run_all([QUICK, PHASES["tuning"]], tmp_path, host=False)
    assert [one.ended.partition(":")[0] for one in both] == ["failed", "failed"]
    assert "sees no GPU" in both[0].ended


@no_gpu
def test_without_a_gpu_it_says_what_runs_without_one(tmp_path: Path) -> None:
    done = command("--out", tmp_path)
    assert done.returncode == 2
    assert "--host runs every phase without one" in done.stderr


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    done = command("profile", "--host", "--out", path)
    assert done.returncode == 2
    assert "which is a file; a folder is needed" in done.stderr


def test_a_folder_without_findings_has_no_table(tmp_path: Path) -> None:
    done = command("table", "--out", tmp_path)
    assert done.returncode == 2
    assert "where no phase has left what it found" in done.stderr


def test_what_is_found_is_kept_at_once(tmp_path: Path) -> None:
    recorder = Recorder(found("parity"), tmp_path, time.monotonic())
    recorder.add("one", True)
    recorder.add("other", False, "why", {"number": 3})
    kept = read("parity", tmp_path)
    assert kept is not None
    assert kept.findings == [Finding("one", True), Finding("other", False, "why", {"number": 3})]
    assert kept.failed == kept.findings[1:]


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", json.dumps({"findings": [{"what": "it"}]})])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    file_of("parity", tmp_path).write_text(content)
    with pytest.raises(ValueError, match=r"parity\.json does not hold findings"):
        read("parity", tmp_path)


def test_the_table_has_what_failed_and_estimates_beside_times() -> None:
    numbers = {"launches": 1, "flashode, ms": 0.5, "torchdiffeq, ms": 60.0, "torchdiffeq, times": 120.0}
    phases = [
        found("parity", Finding("demo", True), Finding("wide", False, "far | away")),
        found("speed", Finding("spiral, forward", True, "", numbers)),
    ]
    text = table.text(phases)
    assert "- parity: wide: far \\| away" in text
    assert "| spiral, forward | 0.5 | 0.6–1 | 120× |  | 100× torchdiffeq, 10× diffrax |" in text
    assert "latent" not in text
    assert "# The CUDA engine on NVIDIA H200, 2026-01-02" in text


def test_each_row_has_an_estimate() -> None:
    assert {(row.case, row.mode) for row in speed.rows()} == {*ESTIMATES}


def test_a_dry_run_has_estimates_alone() -> None:
    text = table.text([found("speed", Finding("spiral, forward", True), machine=HOST)])
    assert "every time is an **estimate**" in text
    assert "| spiral, forward | 0.6–1 | ≥ 60 | 10 | 100× torchdiffeq, 10× diffrax |" in text


def test_results_of_a_gpu_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n")
    monkeypatch.setattr(publish, "RESULTS", tmp_path)
    monkeypatch.setattr(publish, "README", readme)
    phases = [found("parity", Finding("demo", True))]
    list(publish.publish(phases))
    assert (tmp_path / "gpu-2026-01-02-nvidia-h200.md").read_text() == table.text(phases)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "gpu-2026-01-02-nvidia-h200.md" in text and "never run" not in text and "old" not in text


def test_results_of_the_host_are_not_kept() -> None:
    with pytest.raises(ValueError, match="results of one GPU are kept, and these are of host"):
        list(publish.publish([found("parity", machine=HOST)]))


def test_the_readme_says_what_is_published() -> None:
    text = publish.README.read_text(encoding="utf-8")
    assert publish.replaced(text, publish.readme(publish.kept())) == text


@pytest.mark.parametrize(
    ("threads", "registers", "shared_bytes", "blocks"),
    [
        (256, 127, 124 * 1024, 1),  # shared memory
        (32, 86, 1024, 20),  # registers
        (32, 24, 0, 32),  # their greatest number
        (1024, 32, 0, 2),  # threads
        (96, 64, 0, 10),  # warps of a block that do not fill the four parts
    ],
)
def test_occupancy(threads: int, registers: int, shared_bytes: int, blocks: int) -> None:
    launch = Launch("kernel", 1, threads, shared_bytes, 0, Resources(registers, 0, 0), None)
    assert predicted(launch, H200) == blocks


@pytest.mark.parametrize("which", barrier.TEXTS)
@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_both_barriers_add_up(compiled: None, which: str, blocks: int) -> None:
    host = machine(on_host=True)
    totals = barrier.launched(host, barrier.TEXTS[which], blocks, 3, machines.device(host))
    assert totals is not None
    assert totals.tolist() == [barrier.expected(blocks, 3)] * blocks


def test_counters_are_read_from_what_ncu_prints() -> None:
    output = """==PROF== Connected to process 1
"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"
"0","forward","dram__bytes.sum","Mbyte","1.25"
"0","forward","sm__throughput.avg","%","61.5"
"""
    assert [(one.what, one.text) for one in counted(output)] == [
        ("dram__bytes.sum", "1.25 Mbyte"),
        ("sm__throughput.avg", "61.5 %"),
    ]
    assert not list(counted("==ERROR== no permission\n"))


@pytest.mark.parametrize("mode", [FORWARD, DISCRETE, CONTINUOUS])
def test_what_is_compiled_ahead_is_what_a_solve_launches(compiled: None, mode: str) -> None:
    host = Host()
    watched, work = machines.Watched(host), sized("demo", 7, precision="float64")
    with compiled_ahead(watched, [partial(precompile, work, mode)]) as jobs:
        assert jobs == [None]
        known = set(host._kernels)
        assert len(known) == (1 if mode == FORWARD else 2)
        with machines.solving(watched):
            solved(work, mode)
    assert set(host._kernels) == known and watched.launches


def test_random_programs_are_compiled_ahead(
    compiled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, known = Host(), []
    disagreement = programs.disagreement

    def noted(machine: machines.Watched, drawn: programs.Drawn) -> str | None:
        known.append(len(host._kernels))
        return disagreement(machine, drawn)

    monkeypatch.setattr(programs, "disagreement", noted)
    recorder = Recorder(found("programs"), tmp_path, time.monotonic() + 1000)
    programs.run(machines.Watched(host), True, recorder)
    assert known == [len(host._kernels)] * programs.ON_HOST
    kept = read("programs", tmp_path)
    assert kept is not None and [one.passed for one in kept.findings] == [True]


def test_programs_that_there_was_no_time_for_have_not_failed(
    compiled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([1000.0, 1.0])
    monkeypatch.setattr(Recorder, "seconds_left", property(lambda self: next(left)))
    monkeypatch.setattr(programs, "disagreement", lambda machine, drawn: None)
    monkeypatch.setattr(programs.Drawn, "precompile", lambda drawn: None)
    programs.run(machine(on_host=True), True, Recorder(found("programs"), tmp_path, 0.0))
    kept = read("programs", tmp_path)
    assert kept is not None
    (one,) = kept.findings
    assert one.passed and one.text == "1 agree with native of 1 tried"
