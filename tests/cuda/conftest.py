"""What tests of the CUDA engine share. None of it needs a GPU but ``gpu``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fake_driver import FakeDriver
from flashode.declined import Declined
from flashode.engines.cuda import nvrtc
from flashode.engines.cuda.machine import CompilationError
from flashode.engines.cuda.nvrtc import Nvrtc


@pytest.fixture(scope="session")
def gpu(request: pytest.FixtureRequest) -> torch.device:
    """A GPU that the CUDA engine runs on."""
    absent = "torch sees none"
    if torch.cuda.is_available():
        from flashode.engines.cuda.driver import driver

        machine = driver()
        if not isinstance(machine, Declined):
            return torch.device("cuda", torch.cuda.current_device())
        absent = machine.reason
    if request.config.getoption("--require-cuda"):
        pytest.fail(f"no GPU: {absent}")
    pytest.skip(f"no GPU: {absent}")


@pytest.fixture(scope="session")
def _library(tmp_path_factory: pytest.TempPathFactory) -> FakeDriver:
    return FakeDriver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def fake(_library: FakeDriver, compiled: None) -> FakeDriver:
    """A CUDA driver without a GPU, for CUDA 13."""
    flashode = pytest.importorskip("flashode._flashode")
    if not flashode.cuda_built:
        pytest.skip("the compiled module was built without CUDA")
    _library.reset()
    return _library


@pytest.fixture(scope="session")
def compiler() -> Nvrtc:
    """NVRTC, as a driver for CUDA 13 takes it."""
    try:
        return nvrtc.load(13)
    except CompilationError as error:
        pytest.skip(str(error))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of the test's own, which is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FLASHODE_CACHE", str(folder))
    return folder
