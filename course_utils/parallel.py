"""Several processes at the same time, with one thread each.

Introduced in chapter 3: `team` for the workers of one training, which share its weights,
and `side_by_side` for trainings that differ in their seeds. A small network leaves the
second core idle, for its steps are too short to be shared; two networks are not.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from . import runtime


def side_by_side(work: Callable, items: Sequence, *, processes: int | None = None) -> list:
    """``[work(item) for item in items]``, several at a time where that is possible.

    On Linux the processes are forks of this one, as many as it may use cores; they see
    what was defined before. Elsewhere, with one core or with a GPU (whose state a fork
    cannot share), the items follow one another.
    The results are the same if `work` draws its random numbers from its item, such as a
    seed, but for rounding: a process of several has one thread.

    Parameters
    ----------
    work : function of one item
        What it returns is copied to this process, so it must be fit for pickle; the function
        and the items need not be.
    processes : int, optional
        At most this many; by default the cores that this process may use.
    """
    processes = min(processes or _cores(), len(items))
    if processes < 2 or sys.platform != "linux" or torch.cuda.is_available():
        return [work(item) for item in runtime.progress(items, "side by side")]
    context = torch.multiprocessing.get_context("fork")
    with context.Pool(processes, _begin, (work, items)) as pool:
        found = pool.imap(_packed, range(len(items)))
        return [pickle.loads(result) for result in
                runtime.progress(found, "side by side", total=len(items))]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def team(work: Callable, workers: int, *, threads: bool = False) -> tuple[Executor, Callable]:
    """A pool of workers, and a function to submit to it: ``work(*args)`` by one of them.

    The workers are forks of this process and inherit `work`, with the tensors that `shared`
    made; arguments and results are sent, so they must be fit for pickle. On demand, and
    outside Linux, where a fork may hang, they are threads. Those ask for Python's lock at
    each operation, and wait for each other there.
    """
    if threads or sys.platform != "linux":
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        return pool, work
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, fork, initializer=_begin, initargs=(work,)), _inherited


def shared(tensor: Tensor) -> Tensor:
    """A copy on the CPU, in memory that forks of this process read and write."""
    memory = torch.frombuffer(mmap.mmap(-1, tensor.nbytes), dtype=tensor.dtype)
    return memory.view_as(tensor).copy_(tensor)


def _begin(*job) -> None:
    global _job
    _job = job  # inherited, never sent: it may hold what cannot be pickled
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's products
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _inherited(*args):
    return _job[0](*args)


def _packed(k: int) -> bytes:
    """Bytes, not tensors: torch would send those as shared memory, one file each."""
    work, items = _job
    return pickle.dumps(work(items[k]))
