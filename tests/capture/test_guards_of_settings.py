"""Settings of torch and numpy, and files: what a field may read that is not its own."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from capture.agreement import declined, must_capture
from capture.following import Case, Field, follows
from flashode.capture.guards.settings import setting_obstacle

MODULES = [
    *("torch", "torch.nn.functional", "torch.random", "torch.autograd", "torch.overrides", "torch.compiler"),
    *(
        "torch.backends.cuda",
        "torch.backends.mkldnn",
        "torch.amp",
        "torch.cpu",
        "torch.accelerator",
        "torch.nn",
    ),
    *("torch.linalg", "torch.special", "torch.fft", "torch.utils", "torch.func"),
    *("numpy", "numpy.linalg"),
]
# These change something, or wait.
VERBS = re.compile(
    r"_?(set|seed|manual|compile|exit|test|unset|clear|push|pop|init|reset|begin|start|stop|enable|disable|"
    r"synchronize|empty|save|load|show|info|kineto_step|toggle|run|freeze|active|log|cudagraph|generate|autocast_)"
)
# Constant while a process runs, or looked at otherwise.
CONSTANT = {
    *("compiled_with_cxx11_abi", "get_default_dtype", "is_grad_enabled", "is_inference_mode_enabled"),
    *("is_available", "kineto_available", "profiler_allow_cudagraph_cupti_lazy_reinit_cuda12"),
    *("sym_sum", "is_compiling", "is_dynamo_compiling", "is_exporting"),
}


def asking() -> dict[tuple[str, str], Any]:
    """Functions that tell something without being given anything, and what."""
    results = {}
    for home in MODULES:
        module = importlib.import_module(home)
        for name, function in sorted(vars(module).items()):
            if (
                name.startswith("_")
                or VERBS.match(name)
                or not callable(function)
                or isinstance(function, type)
            ):
                continue
            try:
                parameters = inspect.signature(function).parameters.values()
                if any(each.default is each.empty and each.kind in (0, 1) for each in parameters):
                    continue
            except (ValueError, TypeError):
                pass
            try:
                result = function()
            except Exception:
                continue
            if isinstance(result, (bool, int, float, str, dict, torch.dtype, torch.device)):
                results[home, name] = result
    return results


def test_what_tells_something_of_its_own_accord_is_no_part_of_a_field() -> None:
    settings = asking()
    assert len(settings) > 40
    harmless = [key for key in settings if setting_obstacle(importlib.import_module(key[0]), key[1]) is None]
    # A context tells nothing.
    assert {key[1] for key in harmless if not hasattr(settings[key], "__enter__")} <= CONSTANT


def asks(expression: str) -> Field:
    func: Field = eval(f"lambda t, y: y * (1.0 if {expression} else 3.0)", {"torch": torch, "np": np})
    return func


SETTINGS: list[tuple[str, Callable[[Any], object], Any, Any]] = [
    ("torch.are_deterministic_algorithms_enabled()", torch.use_deterministic_algorithms, False, True),
    ("torch.initial_seed() == 5", torch.manual_seed, 4, 5),
    ("torch.random.initial_seed() == 5", torch.manual_seed, 4, 5),
    ("torch.default_generator.initial_seed() == 5", torch.manual_seed, 4, 5),
    ("torch.is_anomaly_enabled()", torch.autograd.set_detect_anomaly, False, True),
    ("torch.get_num_threads() == 1", torch.set_num_threads, 2, 1),
    ("torch.get_float32_matmul_precision() == 'high'", torch.set_float32_matmul_precision, "highest", "high"),
    (
        "torch.backends.cudnn.benchmark",
        lambda on: setattr(torch.backends.cudnn, "benchmark", on),
        False,
        True,
    ),
    ("torch.backends.cuda.flash_sdp_enabled()", torch.backends.cuda.enable_flash_sdp, False, True),
    ("torch.is_autocast_enabled('cuda')", lambda on: torch.set_autocast_enabled("cuda", on), False, True),
    ("torch.get_default_device().index is None", torch.set_default_device, "cpu", "cpu:0"),
    ("np.geterr()['divide'] == 'ignore'", lambda how: np.seterr(divide=how), "warn", "ignore"),
    ("np.get_printoptions()['precision'] == 3", lambda n: np.set_printoptions(precision=n), 8, 3),
    ("torch._tensor_str.PRINT_OPTS.precision == 3", lambda n: torch.set_printoptions(precision=n), 4, 3),
    ("torch.is_warn_always_enabled()", torch.set_warn_always, False, True),
    ("getattr(torch, 'is_warn_always_enabled')()", torch.set_warn_always, False, True),
]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threads, flash, seed = (
        torch.get_num_threads(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.get_rng_state(),
    )
    yield
    torch.set_default_device(None)
    torch.set_num_threads(threads)
    torch.backends.cuda.enable_flash_sdp(flash)
    torch.set_rng_state(seed)


@pytest.mark.parametrize(("expression", "change", "first", "second"), SETTINGS)
def test_a_setting(expression: str, change: Callable[[Any], object], first: Any, second: Any) -> None:
    change(first)
    try:
        assert not follows(Case(asks(expression), lambda: change(second)))
    finally:
        change(first)


def test_a_setting_asked_for_by_another_name() -> None:
    asked = torch.is_warn_always_enabled
    assert "is_warn_always_enabled" in declined(lambda t, y: y * (1.0 if asked() else 3.0))


def test_questions_about_tensors_are_no_settings() -> None:
    must_capture(lambda t, y: y if torch.is_floating_point(y) and torch.is_tensor(y) else 2 * y)
    must_capture(lambda t, y: y if not torch.is_complex(y) else 2 * y)
    must_capture(lambda t, y: y.to(torch.get_default_dtype()))


def numbers(path: Path, rate: float) -> None:
    np.array([rate], np.float32).tofile(path)


def array(path: Path, rate: float) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([rate], np.float32))


def text(path: Path, rate: float) -> None:
    path.write_text(f"{rate}\n{rate}\n")


def saved(path: Path, rate: float) -> None:
    torch.save(torch.tensor([rate]), path)


FILES: list[tuple[str, Callable[[Path, float], None]]] = [
    ("float(np.fromfile(path, np.float32)[0])", numbers),
    ("float(np.memmap(path, np.float32, 'r')[0])", numbers),
    ("torch.from_file(path, size=1)", numbers),
    ("torch.UntypedStorage.from_file(path, False, 4)[0]", numbers),
    ("float(np.load(path)[0])", array),
    ("float(np.loadtxt(path)[0])", text),
    ("float(np.genfromtxt(path)[0])", text),
    ("torch.load(path)", saved),
]


@pytest.mark.parametrize(("read", "write"), FILES)
def test_a_file(read: str, write: Callable[[Path, float], None], tmp_path: Path) -> None:
    path = tmp_path / "rates"
    write(path, 1.0)
    func: Field = eval(f"lambda t, y: y * {read}", {"torch": torch, "np": np, "path": str(path)})
    assert not follows(Case(func, lambda: write(path, 3.0)))
