"""Where a process computes: its device, its precision, and its place among several.

Introduced in chapter 5, for pre-training by one process or by several under `torchrun`
(gloo on CPUs, nccl on GPUs). On top of torch's `distributed`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

PRECISIONS = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16
}


class PretrainingError(ValueError):
    """Something the reader can mend: what was expected, what was found, what to do."""


class Machine(NamedTuple):
    """Where this process runs, and its place among its like."""

    device: torch.device
    precision: str = "float32"
    rank: int = 0
    world: int = 1

    def described(self) -> dict:
        """What a results file says of the machine."""
        return {
            "device": str(self.device), "precision": self.precision,
            "processor": processor(self.device), "cores": os.cpu_count(),
            "threads": torch.get_num_threads(), "python": platform.python_version(),
            "torch": torch.__version__,
        }

    def total(self, *numbers: float | Tensor) -> list[float]:
        """Sums of numbers over all processes, in float64."""
        sums = torch.tensor([float(x) for x in numbers], dtype=torch.float64)
        if self.world > 1:
            sums = sums.to(self.device)
            dist.all_reduce(sums)
        return sums.tolist()


@contextmanager
def machine(device: str | None = None, precision: str | None = None) -> Iterator[Machine]:
    """This process's place; under `torchrun`, joined with the others until the end.

    The device is the process's own GPU if there is one (nccl), else the CPU (gloo). The
    precision is float32 on a CPU; on a GPU bfloat16 where the chip has it, else float16.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    where = chosen_device(device)
    if where.type == "cuda" and world > 1:
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(where)
    precision = chosen_precision(precision, where)
    if world > 1:
        dist.init_process_group("gloo" if where.type == "cpu" else "nccl")
    try:
        yield Machine(where, precision, rank, world)
    finally:
        if world > 1:
            dist.destroy_process_group()


def chosen_device(name: str | None) -> torch.device:
    """The device asked for; a GPU if there is one and nothing was said."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PretrainingError(f"device: expected cpu or cuda, got {name!r}.") from None
    if device.type not in ("cpu", "cuda"):
        raise PretrainingError(f"device: expected cpu or cuda, got {name!r}.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise PretrainingError(f"device: expected a GPU for {name!r}, got none. Use cpu.")
    return device


def chosen_precision(name: str | None, device: torch.device) -> str:
    """The precision asked for, or the best that the device has."""
    if name is None and device.type == "cpu":
        return "float32"
    if name is None:
        short = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if short else "float16"
    if name not in PRECISIONS or (device.type == "cpu" and name == "float16"):
        raise PretrainingError(
            f"precision: expected one of {[*PRECISIONS]}, float16 on a GPU only, got "
            f"{name!r} on {device}."
        )
    return name


def processor(device: torch.device) -> str:
    """The name of the chip."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(x for x in lines if x.startswith("model name")).partition(":")[2].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
