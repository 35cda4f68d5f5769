"""Several processes give what one gives."""

import os
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from course_utils import parallel, runtime


def trained(seed):
    """A layer after three steps; everything random comes from the seed."""
    g = runtime.generator(seed)
    layer = torch.nn.Linear(7, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 7, generator=g))
        layer.bias.zero_()
    adam = torch.optim.Adam(layer.parameters(), 0.1)
    for _ in range(3):
        adam.zero_grad()
        layer(torch.randn(5, 7, generator=g)).square().sum().backward()
        adam.step()
    return layer, os.getpid()


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_same_results_in_order(processes):
    found = parallel.side_by_side(trained, (2, 3, 5), processes=processes)
    for (layer, _), seed in zip(found, (2, 3, 5), strict=True):
        assert torch.allclose(layer.weight, trained(seed)[0].weight, rtol=0, atol=1e-6)
    pids = {pid for _, pid in found}
    alone = processes == 1 or sys.platform != "linux" or torch.cuda.is_available()
    assert (pids == {os.getpid()}) == alone


def failing(item):
    raise ValueError(f"item {item}: no")


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_come_back(processes):
    with pytest.raises(ValueError, match="item 4: no"):
        parallel.side_by_side(failing, (4, 5), processes=processes)


def test_threads_of_this_process_stay():
    before = torch.get_num_threads()
    parallel.side_by_side(trained, (0, 1), processes=2)
    assert torch.get_num_threads() == before


def test_neither_the_work_nor_the_items_are_pickled():
    items = [lambda k=k: k * k for k in range(5)]
    found = parallel.side_by_side(lambda item: item() + 1, items, processes=2)
    assert found == [1, 2, 5, 10, 17]


@pytest.mark.parametrize("threads", [False, True])
def test_a_team_writes_into_shared_memory(threads):
    table = torch.arange(12.0).view(3, 4)
    mine = parallel.shared(table)
    assert torch.equal(mine, table)

    def double(row):
        mine[row] *= 2
        return os.getpid()

    pool, work = parallel.team(double, 2, threads=threads)
    with pool:
        pids = set(pool.map(work, range(3)))
    assert torch.equal(mine, 2 * table) and torch.equal(table[0], torch.arange(4.0))
    assert (os.getpid() in pids) == (threads or sys.platform != "linux")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_each_process_has_one_thread_in_numpy_too():
    def threads(_):
        np.ones((64, 64)) @ np.ones((64, 64))
        return [torch.get_num_threads(), *(p["num_threads"] for p in threadpool_info())]

    with threadpool_limits(2):  # whatever OMP_NUM_THREADS says
        assert max(threads(0)[1:]) == 2
        found = parallel.side_by_side(threads, (0, 1), processes=2)
    for counts in found:
        assert len(counts) > 1 and set(counts) == {1}
