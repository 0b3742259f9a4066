"""NVRTC: found, given the right options, and its words handed on. No GPU is needed."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flashode.engines.cuda import headers, nvrtc
from flashode.engines.cuda.machine import CompilationError
from flashode.engines.cuda.nvrtc import Nvrtc

KERNEL = """
#include "numerics/tableau.hpp"
struct Arguments { double* value; };
extern "C" __global__ void tiny(const __grid_constant__ Arguments q) { *q.value = *q.value * *q.value + 1.0; }
"""


class OtherArchitectures(Nvrtc):
    """A compiler that knows these alone."""

    def __init__(self, *numbers: int) -> None:
        self.version = (13, 0)
        self._architectures = list(numbers)


def test_a_text_is_compiled_for_an_architecture(compiler: Nvrtc) -> None:
    images = {}
    for architecture in ("sm_80", "sm_90", "sm_120"):
        images[architecture], log = compiler.compile(KERNEL, "tiny", compiler.target(architecture))
        assert images[architecture].startswith(b"\x7fELF")
        assert b"tiny" in images[architecture]
        assert log == ""
    assert len(set(images.values())) == 3


def test_what_is_wrong_with_a_text_is_said(compiler: Nvrtc) -> None:
    with pytest.raises(CompilationError, match=r"does not compile tiny(.|\n)*tiny\(2\).*no_such_name"):
        compiler.compile("\nint f() { return no_such_name; }", "tiny", "sm_90")


def test_warnings_are_handed_on(compiler: Nvrtc) -> None:
    image, log = compiler.compile(
        '__device__ int f() { int unused; return 1; }\nextern "C" __global__ void g() {}', "tiny", "sm_90"
    )
    assert image.startswith(b"\x7fELF")
    assert "unused" in log


def test_a_header_that_is_not_ours_is_not_found(compiler: Nvrtc) -> None:
    with pytest.raises(CompilationError, match="no/such/header"):
        compiler.compile('#include "no/such/header.hpp"', "tiny", "sm_90")


def test_two_threads_compile_two_texts(compiler: Nvrtc) -> None:
    texts = [KERNEL.replace("1.0", f"{number}.0") for number in range(4)]
    alone = [compiler.compile(text, "tiny", "sm_90")[0] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: compiler.compile(text, "tiny", "sm_90")[0], texts))
    assert together == alone
    assert len(set(alone)) == len(texts)


@pytest.mark.parametrize(
    ("architecture", "target"),
    [("sm_90", "sm_90"), ("sm_89", "sm_86"), ("sm_103", "sm_100"), ("sm_121", "sm_120"), ("sm_80", "sm_80")],
)
def test_an_architecture_that_is_newer_than_the_compiler(architecture: str, target: str) -> None:
    assert OtherArchitectures(80, 86, 90, 100, 120).target(architecture) == target


@pytest.mark.parametrize(("architecture", "age"), [("sm_80", "an older"), ("sm_130", "a newer")])
def test_an_architecture_that_the_compiler_knows_nothing_for(architecture: str, age: str) -> None:
    with pytest.raises(
        CompilationError,
        match=rf"architecture {architecture} runs, only for sm_90, sm_100: install {age} one$",
    ):
        OtherArchitectures(90, 100).target(architecture)


def test_an_architecture_that_is_too_old_whatever_the_compiler() -> None:
    with pytest.raises(CompilationError, match=r"architecture sm_75, and sm_80 or newer is needed$"):
        OtherArchitectures(70, 75, 80).target("sm_75")


@pytest.mark.parametrize(
    ("newest", "package"), [(12, "nvidia-cuda-nvrtc-cu12"), (13, "'nvidia-cuda-nvrtc<14'")]
)
def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, newest: int, package: str) -> None:
    def absent(name: str, mode: int = 0) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(nvrtc, "_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(
        CompilationError,
        match=rf"version 12\.3 or newer that goes with a driver for CUDA {newest}: pip install ",
    ) as raised:
        nvrtc.load.__wrapped__(newest)
    assert str(raised.value).endswith(package)


def test_the_newest_that_the_driver_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def open_library(name: str, mode: int = ctypes.DEFAULT_MODE) -> str:
        opened.append(os.path.relpath(name, tmp_path) + (" for all" if mode == ctypes.RTLD_GLOBAL else ""))
        return name

    class Opened:
        def __init__(self, library: str) -> None:
            self.version = (12, 2) if "old" in library else (int(library.rpartition(".")[2]), 5)

    for folder, names in {
        "a": ["libnvrtc.so.12", "libnvrtc-builtins.so.12.8"],
        "b": ["libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc.so.14", "libnvrtc-builtins.so.14.0"],
        "c-old": ["libnvrtc.so.13", "libnvrtc.so.12"],
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    monkeypatch.setattr(nvrtc, "_folders", lambda: iter([tmp_path / name for name in ("c-old", "a", "b")]))
    monkeypatch.setattr(ctypes, "CDLL", open_library)
    monkeypatch.setattr(nvrtc, "Nvrtc", Opened)
    assert nvrtc.load.__wrapped__(13).version == (13, 5)
    assert opened == ["c-old/libnvrtc.so.13", "b/libnvrtc-builtins.so.13.0 for all", "b/libnvrtc.so.13"]
    opened.clear()
    assert nvrtc.load.__wrapped__(12).version == (12, 5)
    assert opened == ["c-old/libnvrtc.so.12", "a/libnvrtc-builtins.so.12.8 for all", "a/libnvrtc.so.12"]


def test_libraries_that_are_none_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: Nvrtc
) -> None:
    folders = [tmp_path / name for name in ("broken", "older", "named")]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "libnvrtc.so.13").write_text("no library")
    (folders[0] / "libnvrtc-builtins.so.13.0").write_text("nor this")
    # Before CUDA 11.2 it has not all functions that are asked for.
    (folders[1] / "libnvrtc.so.10.2").symlink_to(pytest.importorskip("flashode._flashode").__file__)
    (folders[2] / "libnvrtc.so.backup").write_text("")
    real = list(nvrtc._folders())
    monkeypatch.setattr(nvrtc, "_folders", lambda: iter([*folders, *real]))
    assert nvrtc.load.__wrapped__(13).version == compiler.version


def test_headers_are_all_that_kernels_include() -> None:
    rooms = {path.relative_to(headers.folder()).parts[0] for path in headers.files()}
    assert rooms >= {"numerics", "solve", "cuda"}
    assert headers.standard_folder() / "cstdint" in headers.files()
    assert all(path.suffix == ".hpp" or path.parent == headers.standard_folder() for path in headers.files())


def test_the_digest_is_of_names_and_texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def digest() -> str:
        return headers.digest.__wrapped__()

    for place in ("numerics", "solve", "cuda/std"):
        (tmp_path / "csrc" / place).mkdir(parents=True)
    monkeypatch.setattr(headers, "folder", lambda: tmp_path / "csrc")
    one = tmp_path / "csrc" / "numerics" / "one.hpp"
    digests = [digest()]
    one.write_text("a")
    digests.append(digest())
    one.write_text("b")
    digests.append(digest())
    one.rename(one.with_name("two.hpp"))
    digests.append(digest())
    (tmp_path / "csrc" / "cuda" / "std" / "cmath").write_text("")
    digests.append(digest())
    assert len(set(digests)) == len(digests)
    (tmp_path / "csrc" / "solve" / "notes.txt").write_text("no header")
    assert digest() == digests[-1]
    (tmp_path / "csrc").rename(tmp_path / "moved")
    monkeypatch.setattr(headers, "folder", lambda: tmp_path / "moved")
    assert digest() == digests[-1]


def test_headers_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(headers, "_PLACES", (tmp_path / "package", tmp_path / "tree"))
    with pytest.raises(FileNotFoundError, match=r"headers of kernels are in neither .*package nor .*tree"):
        headers.folder.__wrapped__()
