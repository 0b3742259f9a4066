"""`flashode bench`: what it writes, how it stops, and with which status."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import Result

import command_line
from flashode.bench import command, running
from flashode.bench.measuring.isolation import Died
from flashode.bench.records.file import FILE, Results, read
from flashode.bench.records.record import Record
from flashode.bench.studies import Case, Settings, Study


def record(case: str, library: str = "flashode", seconds: float = 1.0) -> Record:
    return Record("fake", case, {"steps": 10}, library, "forward", library, seconds=[seconds] * 9)


@dataclass
class FakeStudies:
    """Studies of cases that measure nothing; what was asked for is in `settings`."""

    cases: dict[str, Callable[[], list[Record]]]
    settings: list[Settings] = field(default_factory=list)

    def studies(self) -> dict[str, Study]:
        def cases(settings: Settings) -> list[Case]:
            self.settings.append(settings)
            return [Case(title, measure) for title, measure in self.cases.items()]

        return {name: Study(name, "?", cases) for name in ("fake", "other")}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeStudies:
    fake_studies = FakeStudies({"first": lambda: [record("first"), record("first", "torchdiffeq", 10.0)]})
    monkeypatch.setattr(command, "studies", fake_studies.studies)
    monkeypatch.setattr(running, "isolated", lambda threads, function, *arguments: {"bandwidth 1": 1.0})
    return fake_studies


def invoke(*arguments: str) -> Result:
    return command_line.invoke("bench", *arguments)


def stopping(reason: BaseException) -> Callable[[], list[Record]]:
    def measure() -> list[Record]:
        raise reason

    return measure


def test_results_say_what_was_measured_where_and_how(fake: FakeStudies, tmp_path: Path) -> None:
    out = tmp_path / "a folder"
    result = invoke(
        "--quick", "--studies", "fake", "--peers", "torchdiffeq", "--threads", "1", "--out", str(out)
    )
    assert result.exit_code == 0, result.output
    written = read(out / FILE)
    assert [one.library for one in written.records] == ["flashode", "torchdiffeq"]
    assert written.peaks == {"bandwidth 1": 1.0}
    assert {"processor", "memory in GiB", "system"} <= written.machine.keys()
    assert {"python", "torch", "numpy", "flashode"} <= written.versions.keys()
    assert written.quick and written.finished
    # The command that is noted asks for the same.
    again = invoke(*shlex.split(written.command)[2:], "--out", str(out))
    assert again.exit_code == 0, again.output
    assert fake.settings[0] == fake.settings[1]
    assert fake.settings[0].libraries == ("torchdiffeq",)
    assert fake.settings[0].effort == running.QUICK


def test_interruption_keeps_what_was_measured(fake: FakeStudies, tmp_path: Path) -> None:
    fake.cases["second"] = stopping(KeyboardInterrupt())
    result = invoke("--studies", "fake", "--out", str(tmp_path))
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    written = read(tmp_path / FILE)
    assert len(written.records) == 2 and not written.finished


def test_case_whose_process_died_does_not_end_the_run(fake: FakeStudies, tmp_path: Path) -> None:
    fake.cases = {"huge": stopping(Died("the process died")), **fake.cases}
    result = invoke("--studies", "fake", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    written = read(tmp_path / FILE).records
    assert len(written) == 3
    assert (written[0].case, written[0].failure) == ("huge", "the process died")


@pytest.mark.parametrize(("library", "status"), [("flashode", 1), ("flashode eager", 1), ("diffrax", 0)])
def test_wrong_answers_of_ours_fail(fake: FakeStudies, tmp_path: Path, library: str, status: int) -> None:
    wrong = record("second", library)
    wrong.failure, wrong.wrong, wrong.seconds = "wrong answer: of [7]", True, []
    fake.cases["second"] = lambda: [wrong]
    result = invoke("--studies", "fake", "--out", str(tmp_path))
    assert result.exit_code == status
    assert ("error: fake second, steps 10, forward" in result.output) == bool(status)
    assert "wrong answer: of [7]" in result.output  # of a peer, among what was not measured


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (0.95, 0), (0.5, 1), (2.0, 0)])
def test_comparison_fails_when_a_ratio_fell(
    fake: FakeStudies, tmp_path: Path, factor: float, status: int
) -> None:
    old = Results("", "", "", quick=True, threads=1)
    old.records = [record("first"), record("first", "torchdiffeq", 10.0 / factor)]
    # The old file may lie where the new one goes.
    path = old.write(tmp_path)
    result = invoke("--studies", "fake", "--compare", str(path), "--out", str(tmp_path))
    assert result.exit_code == status, result.output
    assert f"1 ratios compared, {int(factor != 1)} changed beyond noise, {status} fell" in result.output


def test_results_are_shown_again_without_measuring(fake: FakeStudies, tmp_path: Path) -> None:
    results = Results("", "", "", quick=True, threads=1, records=[record("first")])
    path = results.write(tmp_path)
    assert invoke("--from", str(path)).exit_code == 0
    assert fake.settings == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--studies", "fake,none"), ("--studies", "'none'", "fake, other")),
        (("--workloads", "narrow"), ("--workloads", "'narrow'", "spiral")),
        (("--peers", "julia"), ("--peers", "'julia'", "torchdiffeq")),
        (("--threads", "100000"), ("--threads", "100000")),
        (("--threads", "-1"), ("--threads",)),
        (("--compare", "absent.json"), ("--compare", "absent.json")),
        (("--from", __file__), ("--from", "not JSON")),
    ],
)
def test_bad_values_are_named(
    fake: FakeStudies, tmp_path: Path, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    result = invoke(*arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    # A box is drawn round the message, which breaks its lines.
    text = "".join(result.output.replace("│", "").split())
    assert all("".join(one.split()) in text for one in said), result.output
    assert fake.settings == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_a_device_that_is_not_there_is_named(
    device: str, fake: FakeStudies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    result = invoke("--device", device, "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "--device" in result.output and ("no such device" in result.output or device in result.output)
    assert not fake.settings
