"""A fair contest of recurrent cells: equal parameters, equal updates, equal time.

Introduced in chapter 8. Adds to `course_utils.recurrent_tasks` the rules of a comparison:
the hidden size within a budget of parameters, the pace of each cell measured in turn, a
learning rate chosen on validation data for each cell and moment, five seeds at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from .recurrent_tasks import Task
from .replicas import ReplicaAdam, ReplicaModel, hidden_for

CELLS = ("rnn", "gru", "lstm")
MOMENTS = ("updates", "time")


@dataclass(frozen=True)
class Plan:
    """What one task of a contest gets."""

    task: Task
    n_parameters: int  # recurrent layer and read-out, for each cell
    B: int  # sequences in a batch
    updates: int  # of every cell at the moment "updates"
    n_test: int  # test examples
    n_validation: int = 500


@dataclass(frozen=True)
class Reading:
    """One cell at one moment."""

    H: int
    parameters: int  # embedding included
    updates: int
    rate: float  # learning rate chosen on validation data
    errors: np.ndarray  # (seeds,) on test data
    seconds: float  # of training so far, all copies together


def make(plan: Plan, cell: str, S: int) -> tuple[ReplicaModel, int, int]:
    """A model of S copies, its hidden size, and the learned numbers of one copy."""
    D, K = plan.task.sizes
    H = hidden_for(cell, D, plan.n_parameters, K)
    model = ReplicaModel(
        cell, S, (D, H, K), generator=torch.Generator().manual_seed(1),
        n_vocab=plan.task.n_vocab,
    )
    size = sum(p.numel() for p in model.parameters() if p.requires_grad) // S
    return model, H, size


def shared_batch(task: Task, copies: int, seeds: int, B: int, generator) -> tuple:
    """A batch for each seed, repeated for every learning rate: x, y, lengths.

    The copies are ordered rate by rate, ``lr = rates.repeat_interleave(seeds)``. So copies
    s and ``seeds + s`` read the same sequences, whatever the rate that is chosen later.
    """
    if copies % seeds:
        raise ValueError(f"copies: expected a multiple of {seeds} seeds, got {copies}.")
    drawn = task.batch(seeds, B, generator)
    return tuple(None if v is None else torch.cat([v] * (copies // seeds)) for v in drawn)


def update(plan: Plan, model, optimiser: ReplicaAdam, generator, *, seeds: int) -> None:
    """One step of every copy, on the batch of its seed."""
    x, y, lengths = shared_batch(
        plan.task, len(optimiser.lr), seeds, plan.B, generator)
    plan.task.loss(model(x, lengths), y).sum().backward()
    optimiser.step()


def seconds_per_update(
    plan: Plan, lr: torch.Tensor, seeds: int, rounds: int = 8
) -> dict:
    """Seconds of one update of each cell: in turn, median over rounds, first left out."""
    g = torch.Generator().manual_seed(0)
    models = {cell: make(plan, cell, len(lr))[0] for cell in CELLS}
    optimisers = {c: ReplicaAdam(m.parameters(), lr) for c, m in models.items()}
    found = {cell: [] for cell in CELLS}
    for _ in range(rounds):
        for cell in CELLS:
            start = time.perf_counter()
            update(plan, models[cell], optimisers[cell], g, seeds=seeds)
            found[cell].append(time.perf_counter() - start)
    return {cell: float(np.median(seconds[1:])) for cell, seconds in found.items()}


def read(plan: Plan, model, lr: torch.Tensor, seeds: int) -> tuple[float, np.ndarray]:
    """The rate with the best mean validation error, and its seeds' test errors.

    The copies are ordered rate by rate: ``lr = rates.repeat_interleave(seeds)``.
    """
    S = len(lr)
    held = plan.task.evaluate(model, S, "validation", plan.n_validation)
    best = int(held.view(-1, seeds).mean(1).argmin())
    test = plan.task.evaluate(model, S, "test", plan.n_test).view(-1, seeds)
    return lr[best * seeds].item(), test[best].numpy()


def contest(plan: Plan, lr: torch.Tensor, seeds: int) -> dict:
    """Readings of all cells: keys (moment, cell).

    "updates": after the same number of updates. "time": each cell after as many updates
    as fit into the time that the slowest cell needs for that number.
    """
    pace, readings = seconds_per_update(plan, lr, seeds), {}
    for cell in CELLS:
        model, H, size = make(plan, cell, len(lr))
        last = round(plan.updates * max(pace.values()) / pace[cell])
        optimiser = ReplicaAdam(model.parameters(), lr)
        g, seconds, start = torch.Generator().manual_seed(2), 0.0, time.perf_counter()
        for k in range(1, last + 1):
            update(plan, model, optimiser, g, seeds=seeds)
            if k in (plan.updates, last):
                seconds += time.perf_counter() - start
                rate, errors = read(plan, model, lr, seeds)
                for moment, when in zip(MOMENTS, (plan.updates, last)):
                    if k == when:  # the slowest cell is at both
                        readings[moment, cell] = Reading(
                            H, size, k, rate, errors, seconds)
                start = time.perf_counter()
    return readings
