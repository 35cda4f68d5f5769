"""The lowest layer: the device, and the first call of torch's functions."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from course_utils import runtime


class Called(TorchFunctionMode):
    """Names and types of the functions called with one number."""

    def __enter__(self):
        self.found = set()
        return super().__enter__()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if args and isinstance(args[0], torch.Tensor) and args[0].numel() == 1:
            self.found.add((func.__name__, args[0].dtype))
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(
    "start", [lambda: runtime.generator(0), lambda: runtime.seed_everything(0), runtime.device],
    ids=["generator", "seed_everything", "device"],
)
def test_the_first_calls_that_threads_could_share_are_made(start):
    """Of both precisions, and once: the second start calls nothing."""
    runtime._call_kernels_once.cache_clear()
    with Called() as first:
        start()
    with Called() as second:
        start()
    for name in ("tanh", "exp", "log", "sqrt", "erf", "sin", "cos"):
        for dtype in (torch.float32, torch.float64):
            assert (name, dtype) in first.found
    assert not second.found


def test_device_is_chosen_or_asked_for(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert runtime.device() == torch.device("cpu")
    monkeypatch.setenv("COURSE_DEVICE", "abacus")
    with pytest.raises(ValueError, match="COURSE_DEVICE: expected a device .* got 'abacus'"):
        runtime.device()
