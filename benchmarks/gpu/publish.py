"""Results of a GPU that are kept, and what README says of them, or of their absence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.gpu.estimates import DEVICE
from benchmarks.gpu.findings import HOST, UNKNOWN, Findings
from benchmarks.gpu.table import estimated, text

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PREFIX = "gpu-"
README = ROOT / "README.md"
BEGIN = "<!-- Written by python -m benchmarks.gpu publish; edit that, not this. -->"
END = "<!-- End of what python -m benchmarks.gpu publish wrote. -->"
COMMAND = "python -m benchmarks.gpu --out DIR"
NEVER = f"""\
**The CUDA engine has never run on a GPU so far.** What was checked instead: the text that NVRTC compiles also
runs on the CPU, a fiber for each thread and in several orders of them, where values, gradients, counts and
failures are those of the native engine; and a corpus of kernels is compiled for six architectures, within
limits of registers, stack and instructions. What only a GPU can show is open: how its memory is ordered, and
every time. These are estimates for one {DEVICE} in float32, from counted evaluations and instructions:"""
ONE_COMMAND = """\
One command does every check and every measurement, in at most eight minutes on a machine with a GPU; with
`--host` it runs each of its phases without one, small, and measures nothing:"""


def readme(published: Sequence[Path]) -> str:
    """README's part, without the markers: what is measured, or that nothing is yet."""
    if published:
        last = published[-1]
        linked = f"[{last.name}](benchmarks/results/{last.name})"
        return f"What the CUDA engine does on a GPU is in {linked}. {ONE_COMMAND}\n\n{_command()}"
    return "\n\n".join([NEVER, "\n".join(estimated()), ONE_COMMAND, _command()])


def replaced(whole: str, part: str) -> str:
    """A README with another part.

    Raises:
        ValueError: The markers are missing.
    """
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


def kept() -> list[Path]:
    """The results that are kept, the oldest first."""
    return sorted(RESULTS.glob(f"{PREFIX}*.md"))


def publish(phases: Sequence[Findings]) -> Iterator[str]:
    """Keeps results of a GPU, and renews README's part; yields what was written.

    Raises:
        ValueError: They are not of a GPU.
    """
    names = {phase.machine for phase in phases if phase.machine != UNKNOWN}
    if len(names) != 1 or HOST in names:
        of = ", ".join(sorted(names)) or "nothing"
        raise ValueError(f"results of one GPU are kept, and these are of {of}")
    (name,) = names
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = RESULTS / f"{PREFIX}{phases[0].started[:10]}-{slug}.md"
    path.write_text(text(phases), encoding="utf-8")
    yield f"wrote {path}"
    README.write_text(replaced(README.read_text(encoding="utf-8"), readme(kept())), encoding="utf-8")
    yield f"wrote {README}"


def _command() -> str:
    return f"```bash\n{COMMAND}\n```"
