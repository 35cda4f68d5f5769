"""Where a notebook runs: device, amount of work, randomness, progress.

Introduced in chapter 1 and used by every setup cell. It is the lowest layer and
imports torch only inside the functions that need it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def in_colab() -> bool:
    """Tell whether this Python runs inside Google Colab."""
    return "google.colab" in sys.modules


def device() -> torch.device:
    """Choose the device: CUDA if there is one, then Apple's MPS, then the CPU.

    The CPU is the reference: every figure printed in the book comes from it.
    The environment variable ``COURSE_DEVICE`` (``cpu``, ``cuda``, ``cuda:1``, ``mps``)
    overrides the choice.

    Raises
    ------
    ValueError
        If ``COURSE_DEVICE`` names a device that this machine does not have.
    """
    import torch

    _call_kernels_once()
    wanted = os.environ.get("COURSE_DEVICE")
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        chosen = torch.device(wanted)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"COURSE_DEVICE: expected a device of this machine, got {wanted!r}. "
            "Unset the variable to let the course choose."
        ) from error
    return chosen


def budget(*, cpu: T, gpu: T) -> T:
    """Return `cpu` on a machine without an accelerator and `gpu` on one with it.

    A notebook writes ``epochs = budget(cpu=3, gpu=30)``: minutes on a laptop, more
    where there is more to spend.
    """
    return cpu if device().type == "cpu" else gpu


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a torch random generator with its own state.

    Parameters
    ----------
    seed : int
        Any integer of 64 bits.
    device : torch.device or str
        Where the numbers are drawn; the default draws on the CPU, so that a GPU sees
        the same initial weights as the book.
    """
    import torch

    _call_kernels_once()
    return torch.Generator(device=device).manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators.

    For library code that draws from them (``torch.nn`` initialisation, dropout).
    Our own functions take a generator instead.
    """
    import random

    import numpy as np
    import torch

    _call_kernels_once()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@functools.cache
def _call_kernels_once() -> None:
    """Call, on one number, each function that torch passes on to Intel's MKL.

    MKL chooses a kernel when a function is first called. If threads share that call, one
    may run a kernel of low accuracy, this once: an error of 1e-5 in float32, and a seed
    no longer fixes a result (https://github.com/pytorch/pytorch/issues/188792).
    """
    import torch

    names = "acos asin atan cos erf erfc erfinv exp log log10 log2 sin sqrt tan tanh trunc"
    for dtype in torch.float32, torch.float64:
        number = torch.full((1,), 0.5, dtype=dtype)
        for name in names.split():
            getattr(torch, name)(number)


def synchronise(where: torch.device) -> None:
    """Wait until the device has finished, so that a clock read next is honest."""
    import torch

    if where.type == "cuda":
        torch.cuda.synchronize(where)
    elif where.type == "mps":
        torch.mps.synchronize()


def progress(items: Iterable[T], description: str, *, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` behind a progress bar that leaves no trace when done."""
    from tqdm import tqdm

    return iter(
        tqdm(items, desc=description, total=total, leave=False, disable=not _watched())
    )


def _watched() -> bool:
    """A person is watching: a terminal, or Colab (stored runs keep no bars)."""
    return in_colab() or sys.stderr.isatty()
