r"""The binary tree of hierarchical softmax.

Introduced in chapter 3. The words are the leaves of a Huffman tree built from their
counts, so frequent words have short paths. Each inner node is one row of the output
matrix and one yes-or-no question.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Tree(NamedTuple):
    """Paths from the root to each leaf, padded to the longest one, L.

    ``rows`` (N, L): inner nodes on the path, 0 to N - 2, the root being N - 2;
    ``labels`` (N, L): 1.0 where the path goes left; ``weight`` (N, L): 1.0 on the path,
    0.0 on padding. The length of a path is ``weight.sum(1)``.
    """

    rows: Tensor
    labels: Tensor
    weight: Tensor


def huffman(counts) -> Tree:
    r"""Huffman tree of the counts: join the two rarest nodes until one is left.

    It minimises :math:`\sum_j n_j L_j` over all binary trees (Huffman, 1952), L_j the
    path length of leaf j. The rarer of two joined nodes goes left; ties go to the lower
    number, leaves before inner nodes.

    >>> huffman([5, 2, 1, 1]).weight.sum(1).tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    n_vocab = len(counts)
    if n_vocab < 2:
        raise ValueError(f"counts: expected at least two types, got {n_vocab}.")
    if not all(n >= 0 for n in counts):
        raise ValueError("counts: expected numbers of at least 0.")
    heap = [(n, i) for i, n in enumerate(np.asarray(counts).tolist())]
    heapq.heapify(heap)
    above = np.zeros((2 * n_vocab - 1, 2), dtype=np.int64)  # parent, 1 if left child
    for parent in range(n_vocab, 2 * n_vocab - 1):
        (a, left), (b, right) = heapq.heappop(heap), heapq.heappop(heap)
        above[left], above[right] = (parent, 1), (parent, 0)
        heapq.heappush(heap, (a + b, parent))
    return _paths(above, n_vocab)


def _paths(above: np.ndarray, n_vocab: int) -> Tree:
    """Climb from all leaves at once, then turn each path round."""
    root, node, steps = 2 * n_vocab - 2, np.arange(n_vocab), []
    while (node != root).any():
        inside = node != root
        parent, left = above[node].T
        steps.append((np.where(inside, parent - n_vocab, 0), inside & (left == 1), inside))
        node = np.where(inside, parent, root)
    rows, labels, weight = (np.stack(part, axis=1) for part in zip(*steps))
    length = weight.sum(axis=1, keepdims=True)  # (N, 1)
    order = np.arange(weight.shape[1])[None]
    order = np.where(order < length, length - 1 - order, order)  # (N, L)
    rows, labels, weight = (
        np.take_along_axis(part, order, axis=1) for part in (rows, labels, weight)
    )
    as_float = torch.get_default_dtype()
    return Tree(
        torch.as_tensor(rows),
        torch.as_tensor(labels).to(as_float),
        torch.as_tensor(weight).to(as_float),
    )
