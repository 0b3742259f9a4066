"""results.json: what is written comes back, and a file of another kind is refused with the reason."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from flashode.bench.records.file import FILE, FORMAT, Results, read
from flashode.bench.records.record import Record


def example() -> Results:
    record = Record("adjoint", "steps", {"steps": 100}, "torchdiffeq", "discrete", "torchdiffeq backprop")
    record.seconds, record.peak_bytes, record.error = [0.01234567, 2.0], 123_456_789, math.nan
    failed = Record("workloads", "wide", {}, "diffrax", "forward", "diffrax", failure="diffrax not installed")
    return Results(
        started="2026-01-02T03:04:05+00:00",
        command="flashode bench --quick",
        commit="abc",
        quick=True,
        threads=2,
        machine={"processor": "一 CPU", "memory in GiB": 23.5},
        versions={"torch": "2.13.0"},
        peaks={"fma float32 1": 1.23456e11},
        records=[record, failed],
    )


def test_what_is_written_comes_back_to_four_digits(tmp_path: Path) -> None:
    path = example().write(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / FILE
    back, expected = read(path), example()
    expected.records[0].seconds = [0.01235, 2.0]
    expected.peaks["fma float32 1"] = 1.235e11
    assert math.isnan(back.records[0].error or 0.0)
    back.records[0].error = expected.records[0].error = None
    assert asdict(back) == asdict(expected)
    assert [one.key for one in back.records] == [one.key for one in expected.records]


def test_file_is_plain_json_and_replaced_whole(tmp_path: Path) -> None:
    results = example()
    results.write(tmp_path)
    results.records = []
    path = results.write(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [FILE]
    assert json.loads(path.read_text())["records"] == []


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = example().write(tmp_path)
    before = path.read_bytes()
    broken = example()
    broken.machine["processor"] = object()  # type: ignore[assignment]
    with pytest.raises(TypeError):
        broken.write(tmp_path)
    assert path.read_bytes() == before


def without(name: str) -> dict[str, object]:
    content = json.loads(json.dumps({"format": FORMAT, **asdict(Results("", "", "", True, 1))}))
    del content[name]
    return content  # type: ignore[no-any-return]


RECORD = asdict(Record("workloads", "wide", {}, "flashode", "forward", "flashode"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not written by flashode bench"),
        ('{"loss": []}', "names no format"),
        ('{"format": 99}', f"format 99; this flashode reads format {FORMAT}"),
        (without("threads"), "lacks threads"),
        ({**without("threads"), "threads": 1, "speed": 2}, "unknown speed"),
        ({**without("records"), "records": {}}, "records is a dict"),
        ({**without("records"), "records": [3]}, "record 0 is a int"),
        ({**without("records"), "records": [RECORD, {**RECORD, "x": 1}]}, "record 1 has the unknown x"),
        ({**without("records"), "records": [{**RECORD, "seconds": ["x"]}]}, "seconds of record 0"),
        ({**without("records"), "records": [{**RECORD, "seconds": [0.0]}]}, "seconds of record 0"),
        ({**without("records"), "records": [{**RECORD, "error": [1]}]}, "error of record 0"),
        ({**without("records"), "records": [{**RECORD, "case": 1}]}, "case of record 0 is 1, str is needed"),
        ({**without("records"), "records": [{**RECORD, "peak_bytes": "1"}]}, "peak_bytes of record 0"),
        ({**without("records"), "records": [{**RECORD, "parameters": {"a": []}}]}, "parameters of record 0"),
        ({**without("records"), "records": [{**RECORD, "error": True}]}, "error of record 0 is True"),
        ({**without("records"), "records": [{**RECORD, "error": "12"}]}, "error of record 0 is '12'"),
        ({**without("records"), "records": [{**RECORD, "seconds": [math.inf]}]}, "seconds of record 0"),
        (
            {**without("records"), "records": [{**RECORD, "first_seconds": math.nan}]},
            "first_seconds of record 0",
        ),
        ({**without("records"), "records": [{**RECORD, "peak_bytes": -5}]}, "peak_bytes of record 0 is -5"),
        ({**without("records"), "records": [RECORD, RECORD]}, "records 0 and 1 are of the same"),
        ({**without("threads"), "threads": "two"}, "threads is 'two', int is needed"),
        ({**without("threads"), "threads": True}, "threads is True, int is needed"),
        ({**without("peaks"), "peaks": {"bandwidth 1": "much"}}, "peaks is"),
        ({**without("machine"), "machine": []}, "machine is"),
    ],
)
def test_wrong_file_is_refused_with_the_reason(tmp_path: Path, content: object, said: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=said) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
