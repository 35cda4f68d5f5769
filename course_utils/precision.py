"""Matrix products in 16 bits, where the processor has units for them.

Introduced in chapter 5, for fine-tuning on processors and GPUs alike. On top of torch's
autocast: which format is the fast one is measured, not guessed from a name.
"""

from __future__ import annotations

import time

import torch

from . import runtime


def autocast(device: torch.device, precision: str):
    """Products in ``"bfloat16"``, or everything in ``"float32"``."""
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision: expected float32 or bfloat16, got {precision!r}.")
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def fast_precision(device: torch.device | str) -> str:
    """``"bfloat16"`` where a matrix product in it takes less than half the time.

    Some processors have units for 16 bits, others imitate them at a high price, so this
    measures: the best of five products in each format. With one thread, for two of them
    wait for each other as soon as anybody else computes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(device)
    finally:
        torch.set_num_threads(threads)


def _measured(device: torch.device | str) -> str:
    x, W = torch.ones(512, 384, device=device), torch.ones(384, 384, device=device)
    best = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b, seconds = x.to(kind), W.to(kind), []
        for _ in range(6):
            runtime.synchronise(x.device)
            start = time.perf_counter()
            a @ b
            runtime.synchronise(x.device)
            seconds.append(time.perf_counter() - start)
        best[kind] = min(seconds[1:])
    return "bfloat16" if 2 * best[torch.bfloat16] < best[torch.float32] else "float32"
