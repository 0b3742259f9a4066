"""What compilers made, on disk: read whole or not at all, whatever happens to the files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from flashode.engines.compiled import disk_cache

CONTENT = bytes(range(256)) * 40
KEY = disk_cache.key_of("a text")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of the test's own, which is not there yet."""
    folder = tmp_path / "new" / "cache"
    monkeypatch.setenv("FLASHODE_CACHE", str(folder))
    return folder


def test_what_is_written_is_read(cache: Path) -> None:
    assert disk_cache.read(KEY) is None
    disk_cache.write(KEY, CONTENT)
    assert disk_cache.read(KEY) == CONTENT
    disk_cache.write(KEY, b"")
    assert disk_cache.read(KEY) == b""
    assert os.listdir(cache) == [KEY]


def test_keys_differ_however_parts_are_divided() -> None:
    parts: list[tuple[str | bytes, ...]] = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("ab", "d")]
    assert len({disk_cache.key_of(*each) for each in parts}) == len(parts)
    assert disk_cache.key_of("ab", "c") == disk_cache.key_of(b"ab", b"c")


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: b"",
        lambda entry: entry[:20],
        lambda entry: entry[:-1],
        lambda entry: entry + b"\0",
        lambda entry: entry[:1000] + bytes([entry[1000] ^ 1]) + entry[1001:],
        lambda entry: bytes([entry[0] ^ 1]) + entry[1:],
        lambda entry: bytes(len(entry)),
    ],
    ids=["empty", "within the checksum", "cut", "longer", "a bit", "a bit of the checksum", "zeros"],
)
def test_an_entry_that_changed_is_none_and_is_written_anew(
    cache: Path, change: Callable[[bytes], bytes]
) -> None:
    disk_cache.write(KEY, CONTENT)
    path = cache / KEY
    path.write_bytes(change(path.read_bytes()))
    assert disk_cache.read(KEY) is None
    disk_cache.write(KEY, CONTENT)
    assert disk_cache.read(KEY) == CONTENT


WRITER = """
import sys
from flashode.engines.compiled import disk_cache
key, byte = sys.argv[1], int(sys.argv[2])
own = bytes([byte]) * 200_000
for _ in range(100):
    disk_cache.write(key, own)
    read = disk_cache.read(key)
    assert read is not None and len(read) == len(own) and len(set(read)) == 1, read and len(read)
"""


def test_writers_in_several_processes(cache: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, KEY, str(byte)], stderr=subprocess.PIPE, text=True)
        for byte in range(3)
    ]
    errors = [writer.communicate(timeout=300)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], errors
    assert os.listdir(cache) == [KEY]


def test_a_writer_that_is_stopped_leaves_the_old_entry(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_cache.write(KEY, CONTENT)

    def stop(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        disk_cache.write(KEY, b"other")
    assert disk_cache.read(KEY) == CONTENT
    assert os.listdir(cache) == [KEY]


def test_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file where a folder should be: nobody may write there, not even root.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLASHODE_CACHE", str(tmp_path / "file" / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        disk_cache.write(KEY, CONTENT)
    assert disk_cache.read(KEY) is None
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["os.replace", "os.scandir", "pathlib.Path.mkdir", "tempfile.mkstemp"])
def test_a_disk_that_fails(cache: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def fail(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    disk_cache.write(KEY, CONTENT)
    with monkeypatch.context() as patched:
        patched.setattr(function, fail)
        disk_cache.write(KEY, CONTENT)
    assert disk_cache.read(KEY) == CONTENT
    assert os.listdir(cache) == [KEY]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read(cache: Path) -> None:
    disk_cache.write(KEY, CONTENT)
    cache.chmod(0o500)
    disk_cache.write(disk_cache.key_of("other"), CONTENT)
    disk_cache.write(KEY, b"other")
    assert disk_cache.read(KEY) == CONTENT
    assert os.listdir(cache) == [KEY]


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("FLASHODE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert disk_cache.folder() is None
    disk_cache.write(KEY, CONTENT)
    assert disk_cache.read(KEY) is None


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FLASHODE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert disk_cache.folder() == tmp_path / ".cache" / "flashode"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert disk_cache.folder() == tmp_path / "caches" / "flashode"
    monkeypatch.setenv("FLASHODE_CACHE", str(tmp_path / "own"))
    assert disk_cache.folder() == tmp_path / "own"
    monkeypatch.setenv("FLASHODE_CACHE", "")
    assert disk_cache.folder() == tmp_path / "caches" / "flashode"


def test_entries_used_longest_ago_make_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [disk_cache.key_of(str(number)) for number in range(4)]
    for age, key in enumerate(keys[:3]):
        disk_cache.write(key, CONTENT)
        os.utime(cache / key, (1000 + age, 1000 + age))
    disk_cache.read(keys[0])
    (cache / f"{keys[1]}.abandoned").write_bytes(CONTENT)
    os.utime(cache / f"{keys[1]}.abandoned", (0, 0))
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 3 * (len(CONTENT) + 32))
    disk_cache.write(keys[3], CONTENT)
    assert sorted(os.listdir(cache)) == sorted([keys[0], keys[2], keys[3]])


def test_what_others_keep_in_the_folder_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True)
    for name in ("thesis.tex", KEY[:-1], f"{KEY}0"):
        (cache / name).write_bytes(CONTENT)
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 0)
    disk_cache.write(KEY, CONTENT)
    assert sorted(os.listdir(cache)) == sorted(["thesis.tex", KEY[:-1], f"{KEY}0"])
