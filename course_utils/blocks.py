r"""Negative sampling in blocks: many pairs in one small matrix product.

Introduced in chapter 3, section "A trainer". The words of a text are laid on one line;
a block is b neighbouring positions, with w more on each side. All pairs of a block are
entries of one product of b centres with b + 2w contexts, and all its centres share N
negatives, each with weight K c_i / N for a centre with c_i contexts. So the expected
gradient is that of K negatives for each pair. `word2vec.NegativeSampling` is the oracle.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Blocks(NamedTuple):
    """n blocks of b positions; pad positions hold the id N, one past the vocabulary.

    ``line`` (n, b + 2w): ids of the positions and their halo; ``radius`` (n, b): the
    window of each centre, 0 on pads; ``negatives`` (n, M).
    """

    line: Tensor
    radius: Tensor
    negatives: Tensor


def lay_out(ids: Tensor, sentence: Tensor, w: int, pad: int, b: int) -> Tensor:
    """Lay sentences on one line with `w` pads between, and cut it: (n, b + 2w).

    Parameters
    ----------
    ids : Tensor, shape (T,)
    sentence : Tensor, shape (T,)
        Number of the sentence of each token, not decreasing.
    w : int
        Half-width of the window; so no window reaches over a sentence end.
    """
    T = len(ids)
    new = torch.zeros_like(sentence)
    new[1:] = sentence[1:] != sentence[:-1]
    place = torch.arange(T, device=ids.device) + w * new.cumsum(0) + w  # (T,)
    n = -(-(int(place[-1]) + 1 - w) // b) if T else 0
    line = ids.new_full((n * b + 2 * w,), pad)
    line[place] = ids
    return line.unfold(0, b + 2 * w, b) if n else line.new_empty(0, b + 2 * w)


def bands(line: Tensor, radius: Tensor, pad: int, dtype: torch.dtype) -> Tensor:
    """1 where a position is a context of a centre, else 0: (n, b, b + 2w)."""
    b = radius.shape[1]
    w = (line.shape[1] - b) // 2
    steps = torch.arange(line.shape[1], device=line.device)
    distance = (steps - steps[:b, None] - w).abs()  # (b, b + 2w)
    distance[distance == 0] = line.shape[1] + 1  # a word is no context of itself
    band = (distance <= radius[:, :, None]) & (line != pad)[:, None]
    return band.to(dtype)


def skip_gram_step(W: Tensor, W_out: Tensor, batch: Blocks, band: Tensor, weight: Tensor,
                   rate: float) -> None:
    r"""One step of SGD on a batch of blocks, in place.

    .. math::
        G = -\eta \, [\, M \odot (\sigma(S_c) - 1), \; \tfrac{K c_i}{N} \sigma(S_n) \,],
        \quad S = V U^\top, \quad \Delta V = G U, \quad \Delta U = G^\top V

    Parameters
    ----------
    W, W_out : Tensor, shape (N + 1, D)
        The last row is the pad's, zero, and stays zero.
    band : Tensor, shape (n, b, b + 2w)
    weight : Tensor, shape (n, b, 1)
        K / M times the number of contexts of each centre.
    """
    n, length = batch.line.shape
    b, M = batch.radius.shape[1], batch.negatives.shape[1]
    w, D = (length - b) // 2, W.shape[1]
    centre = batch.line[:, w : w + b].reshape(-1)  # (n b)
    asked = torch.cat([batch.line, batch.negatives], dim=1).view(-1)  # (n (b + 2w + M))
    V = W.index_select(0, centre).view(n, b, D)
    U = W_out.index_select(0, asked).view(n, length + M, D)
    G = torch.bmm(V, U.transpose(1, 2)).sigmoid_()  # (n, b, b + 2w + M)
    G[:, :, :length].sub_(1).mul_(band)
    G[:, :, length:].mul_(weight)
    dV, dU = torch.bmm(G, U), torch.bmm(G.transpose(1, 2), V)
    W.index_add_(0, centre, dV.view(-1, D), alpha=-rate)
    W_out.index_add_(0, asked, dU.view(-1, D), alpha=-rate)


def cbow_step(W: Tensor, W_out: Tensor, batch: Blocks, band: Tensor, weight: Tensor,
              rate: float) -> None:
    r"""The same for CBoW: h is the mean of the contexts, A the band with rows of sum 1.

    .. math::
        H = A V, \quad \delta H = (\sigma(h_i u_i) - 1) u_i + \tfrac{K}{N} \sigma(H U_n^\top) U_n,
        \quad \delta V = A^\top \delta H

    A centre without context asks nothing. Parameters as in `skip_gram_step`.
    """
    n, length = batch.line.shape
    b, M = batch.radius.shape[1], batch.negatives.shape[1]
    w, D = (length - b) // 2, W.shape[1]
    inputs = batch.line.reshape(-1)  # (n (b + 2w))
    asked = torch.cat([batch.line[:, w : w + b], batch.negatives], dim=1).view(-1)
    V = W.index_select(0, inputs).view(n, length, D)
    U = W_out.index_select(0, asked).view(n, b + M, D)
    U_own, U_noise = U[:, :b], U[:, b:]
    H = torch.bmm(band, V)  # (n, b, D)
    own = (H * U_own).sum(2, keepdim=True).sigmoid_().sub_(1)  # (n, b, 1)
    own.mul_(weight > 0)
    noise = torch.bmm(H, U_noise.transpose(1, 2)).sigmoid_().mul_(weight)  # (n, b, M)
    dH = torch.baddbmm(own * U_own, noise, U_noise)  # (n, b, D)
    dU = torch.cat([own * H, torch.bmm(noise.transpose(1, 2), H)], dim=1)
    dV = torch.bmm(band.transpose(1, 2), dH)  # (n, b + 2w, D)
    W.index_add_(0, inputs, dV.view(-1, D), alpha=-rate)
    W_out.index_add_(0, asked, dU.view(-1, D), alpha=-rate)
