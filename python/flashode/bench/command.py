"""The command `flashode bench`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flashode.bench import running
from flashode.bench.contenders import contenders
from flashode.bench.machine import usable_processors
from flashode.bench.records.comparison import ALLOWED, Comparison, compare
from flashode.bench.records.file import FILE, Results, read
from flashode.bench.records.record import Record
from flashode.bench.studies import Settings, studies
from flashode.bench.tasks.problems import PROBLEMS
from flashode.bench.tasks.workloads import WORKLOADS
from flashode.cli.terminal import FAILED, INTERRUPTED, console, require, say, say_error

OUT = Path("results/bench")


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="A few small cases of each study, within two minutes.")
    ] = False,
    only_studies: Annotated[
        str, typer.Option("--studies", help="Which studies, with commas between; all if empty.")
    ] = "",
    only_workloads: Annotated[
        str,
        typer.Option("--workloads", help="Which workloads and problems, with commas between; all if empty."),
    ] = "",
    only_peers: Annotated[
        str, typer.Option("--peers", help="Which libraries beside ours, with commas between; all if empty.")
    ] = "",
    threads: Annotated[
        int, typer.Option(min=0, help="Threads for every contender; 0 for as many as PyTorch takes.")
    ] = 0,
    device: Annotated[
        str, typer.Option(help="What to compute on, cpu or cuda; on cuda the peak of memory is the device's.")
    ] = "cpu",
    old: Annotated[
        Path | None,
        typer.Option(
            "--compare", help=f"An earlier {FILE}: list what changed beyond noise, fail if a ratio got worse."
        ),
    ] = None,
    shown: Annotated[
        Path | None, typer.Option("--from", help=f"A {FILE} to show again; nothing is measured.")
    ] = None,
    out: Annotated[
        Path, typer.Option(file_okay=False, help=f"Folder for {FILE} and the report; made if absent.")
    ] = OUT,
) -> None:
    """Measure flashode beside its peers: time, memory, accuracy. Wrong answers of ours fail, times never."""
    require(("jinja2", "matplotlib"), "bench")
    # Drawing takes a second to import, which --help need not wait for; nor is it to be missed at the end.
    from flashode.bench.report import page, terminal

    before = None if old is None else _read(old, "--compare")
    if shown is not None:
        results = _read(shown, "--from")
    else:
        available = usable_processors()
        if threads > available:
            raise typer.BadParameter(
                f"{threads}, but {available} processors may be used here", param_hint="'--threads'"
            )
        _check_device(device)
        settings = Settings(
            quick=quick,
            threads=threads or min(available, torch.get_num_threads()),
            effort=running.QUICK if quick else running.FULL,
            device=device,
            libraries=_names(only_peers, "--peers", {one.library for one in contenders()}),
            workloads=_names(only_workloads, "--workloads", WORKLOADS.keys() | PROBLEMS.keys()),
        )
        chosen = _names(only_studies, "--studies", studies())
        results = _measure(settings, chosen, out, _command(settings, chosen))
    terminal.show(results, console)
    try:
        say(f"the report: {page.write(results, out)}")
    except OSError as error:
        say_error(error)
        raise typer.Exit(FAILED) from None
    regressed = False
    if before is not None:
        comparison = compare(before, results)
        _show_comparison(comparison)
        regressed = comparison.regressed
    wrong = running.wrong_answers(results)
    for record in wrong:
        say_error(f"{describe(record)}: {record.label}: {record.failure}")
    if wrong or regressed:
        raise typer.Exit(FAILED)


def _measure(settings: Settings, chosen: tuple[str, ...] | None, out: Path, command: str) -> Results:
    wanted = [study for name, study in studies().items() if chosen is None or name in chosen]
    tasks = running.tasks(wanted, settings)
    results = running.begin(command, settings)
    try:
        results.write(out)
        with _progress(len(tasks)) as on_begin:
            running.measure(results, tasks, out, on_begin)
    except KeyboardInterrupt:
        say(f"stopped; flashode bench --from {out / FILE} shows what was measured")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        say_error(error)
        raise typer.Exit(FAILED) from None
    timed = sum(1 for record in results.records if record.seconds)
    say(f"{timed} of {len(results.records)} measurements have a time; all are in {out / FILE}")
    return results


@contextmanager
def _progress(count: int) -> Iterator[Callable[[running.Task], None]]:
    """A bar over the tasks; the context's value is called with each one as it begins."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        shown = bar.add_task("", total=count)
        begun = 0

        def on_begin(task: running.Task) -> None:
            nonlocal begun
            bar.update(shown, description=task.case.title, completed=begun)
            begun += 1

        yield on_begin
        bar.update(shown, description="measured", completed=count)


def _show_comparison(comparison: Comparison) -> None:
    for line in comparison.differing:
        say(f"note: {line}")
    changed = [change for change in comparison.changes if change.beyond_noise]
    if changed:
        table = Table(title="Ratios, peer's time by ours, that changed beyond noise")
        for heading in ("case", "peer"):
            table.add_column(heading)
        for heading in ("then", "now", "factor", "between"):
            table.add_column(heading, justify="right")
        for change in changed:
            record = change.record
            table.add_row(
                escape(describe(record)),
                escape(record.label),
                f"{change.old:.3g}×",
                f"{change.new:.3g}×",
                f"{change.factor:.2f}",
                f"{change.low:.2f} … {change.high:.2f}",
                style="red" if change.regression else None,
            )
        console.print(table)
    for record in comparison.lost:
        say_error(f"timed then, not now: {describe(record)}: {record.label}: {record.failure}")
    worse = sum(change.regression for change in comparison.changes)
    say(
        f"{len(comparison.changes)} ratios compared, {len(changed)} changed beyond noise, "
        f"{worse} fell by more than {ALLOWED:.0%}; {comparison.undecided} have too few samples to say"
    )


def describe(record: Record) -> str:
    """Study, case and what was varied, for a line of text."""
    varied = "".join(f", {name} {value}" for name, value in record.parameters.items())
    return f"{record.study} {record.case}{varied}, {record.mode}"


def _names(text: str, option: str, known: Collection[str]) -> tuple[str, ...] | None:
    """The names in an option; None, for all, where it is empty."""
    if not text:
        return None
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(
            f"no {', '.join(map(repr, unknown))} among {', '.join(sorted(known))}", param_hint=f"'{option}'"
        )
    return names


def _check_device(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is neither cpu nor cuda", param_hint="'--device'")
    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter(
            f"torch {torch.__version__} sees no such device; `nvidia-smi` shows whether the system does",
            param_hint="'--device'",
        )


def _read(path: Path, option: str) -> Results:
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=f"'{option}'") from None


def _command(settings: Settings, chosen: tuple[str, ...] | None) -> str:
    """The command for the same run, without the folder that it writes to."""
    words = ["flashode", "bench"]
    if settings.quick:
        words.append("--quick")
    for option, names in (
        ("--studies", chosen),
        ("--workloads", settings.workloads),
        ("--peers", settings.libraries),
    ):
        if names is not None:
            words += [option, ",".join(names)]
    if settings.device != "cpu":
        words += ["--device", settings.device]
    return shlex.join([*words, "--threads", str(settings.threads)])
