r"""Sequence to sequence: an encoder that reads both ways, and a decoder that looks back.

Introduced in chapter 10. On top of the bidirectional layers of chapter 9 this module
adds the additive attention of Bahdanau, Cho and Bengio (2014), a decoder that uses it,
teacher forcing, and greedy decoding in batches. With ``looks_back=False`` the decoder
sees one fixed vector instead, as in Cho et al. (2014): the control without attention.

Conventions
-----------
Integers: 0 is padding, 1 begins a sentence, 2 ends it, 3 is an unknown token. Rows are
padded on the right. Letters B batch, S source positions, T target positions, D embedding,
H state of one direction and of the decoder, A attention layer, N target vocabulary.

Differences from the paper: the maxout layer before the softmax is an option, and s_0 is
computed from both directions' last states where the paper takes the backward one alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bidirectional import TwoPasses, last_states

PAD, BOS, EOS, UNKNOWN = 0, 1, 2, 3
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")


class Memory(NamedTuple):
    """What the decoder may look at, computed once a sentence."""

    h: Tensor  # (B, S, 2H) states of the encoder, zero on padding
    keys: Tensor  # (B, S, A) U_a h_j, the half of the scores that waits for no decoder
    real: Tensor  # (B, S) True on tokens
    whole: Tensor  # (B, 2H) last state of each direction


class AdditiveAttention(nn.Module):
    r"""Weights over source positions from one hidden layer.

    .. math::
        e_{ij} = v_a^\top \tanh(W_a s_{i-1} + U_a h_j), \qquad
        \alpha_{ij} = \frac{\exp e_{ij}}{\sum_k \exp e_{ik}}, \qquad
        c_i = \sum_j \alpha_{ij} h_j

    Bahdanau et al. (2014), section 3.1 and appendix A.1.2.

    Parameters
    ----------
    H, A : int
        Size of the state that asks, and of the hidden layer.
    D : int, optional
        Size of what is looked at: 2H, the states of both directions, unless it is given.
    """

    def __init__(self, H: int, A: int, *, D: int | None = None) -> None:
        super().__init__()
        self.W_a = nn.Linear(H, A, bias=False)
        self.U_a = nn.Linear(2 * H if D is None else D, A, bias=False)
        self.v_a = nn.Parameter(torch.empty(A).uniform_(-1, 1) / math.sqrt(A))

    def forward(self, s: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Context c_i (B, 2H) and weights (B, S) for the state before the step (B, H)."""
        e = torch.tanh(self.W_a(s)[:, None] + memory.keys) @ self.v_a  # (B, S)
        alpha = e.masked_fill(~memory.real, -math.inf).softmax(-1)  # (B, S)
        c = torch.bmm(alpha[:, None], memory.h).squeeze(1)  # (B, 2H)
        return c, alpha


class Maxout(nn.Module):
    """Each unit is the larger of two affine maps: (..., n) -> (..., units)."""

    def __init__(self, n: int, units: int) -> None:
        super().__init__()
        self.pairs = nn.Linear(n, 2 * units)

    def forward(self, a: Tensor) -> Tensor:
        return self.pairs(a).unflatten(-1, (-1, 2)).amax(-1)


class Translator(nn.Module):
    """Bidirectional GRU encoder, additive attention, GRU decoder.

    Parameters
    ----------
    n_source, n_target : int
        Sizes of the two vocabularies, specials included.
    D, H : int
        Size of embeddings, and of a state.
    looks_back : bool
        False: the context of every step is the encoder's last states (no attention).
    maxout : int, optional
        Size of a layer before the softmax, each unit the larger of two affine maps; with a
        large vocabulary it saves most of the time.
    dropout : float
        On embeddings and before the output layer; drawn from torch's global generator.
    """

    def __init__(
        self, n_source: int, n_target: int, *, D: int = 32, H: int = 64,
        looks_back: bool = True, maxout: int | None = None, dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.looks_back = looks_back
        self.source = nn.Embedding(n_source, D)
        self.target = nn.Embedding(n_target, D)
        self.states = TwoPasses(nn.GRU(D, H, batch_first=True, bidirectional=True))
        self.start = nn.Linear(2 * H, H)
        self.attend = AdditiveAttention(H, H)
        self.cell = nn.GRUCell(D + 2 * H, H)
        self.deep = nn.Identity() if maxout is None else Maxout(3 * H + D, maxout)
        self.out = nn.Linear(maxout or 3 * H + D, n_target)
        self.dropout = nn.Dropout(dropout)

    def encode(self, x: Tensor) -> tuple[Tensor, Memory]:
        """First state s_0 (B, H) and the memory of sources x (B, S)."""
        real = x != PAD  # (B, S)
        lengths = real.sum(1)
        if (real != (torch.arange(x.shape[1], device=x.device) < lengths[:, None])).any():
            raise ValueError("x: expected rows padded with 0 on the right only.")
        h = self.states(self.dropout(self.source(x)), lengths)  # (B, S, 2H)
        whole = last_states(h, lengths)  # (B, 2H)
        memory = Memory(h, self.attend.U_a(h), real, whole)
        return torch.tanh(self.start(whole)), memory

    def recur(
        self, embedded: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Next state, what the output layer reads (B, 3H + D), weights (B, S)."""
        if self.looks_back:
            c, alpha = self.attend(s, memory)  # the state *before* the step
        else:
            c, alpha = memory.whole, torch.full_like(memory.keys[..., 0], math.nan)
        s = self.cell(torch.cat([embedded, c], -1), s)  # (B, H)
        return s, torch.cat([s, c, embedded], -1), alpha

    def step(self, y_prev: Tensor, s: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """One free step: scores (B, N), next state (B, H), weights (B, S)."""
        s, seen, alpha = self.recur(self.target(y_prev), s, memory)
        return self.out(self.deep(seen)), s, alpha

    def forward(self, x: Tensor, y_in: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: scores (B, T, N) and weights (B, T, S) for inputs (B, T)."""
        s, memory = self.encode(x)
        seen, weights = [], []
        for embedded in self.dropout(self.target(y_in)).unbind(1):  # (B, D)
            s, read, alpha = self.recur(embedded, s, memory)
            seen.append(read)
            weights.append(alpha)
        read = self.deep(torch.stack(seen, 1))  # (B, T, 3H + D) or (B, T, maxout)
        return self.out(self.dropout(read)), torch.stack(weights, 1)


def pad(rows: Sequence[Sequence[int]], *, end: bool = False) -> Tensor:
    """Integers of several sentences as one tensor, with the end mark if wanted.

    >>> pad([[5, 6], [7]], end=True).tolist()
    [[5, 6, 2], [7, 2, 0]]
    """
    if not rows or not all(len(row) for row in rows):
        raise ValueError("rows: expected at least one sentence, and none of them empty.")
    rows = [[*row, EOS] if end else list(row) for row in rows]
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


def shifted(y: Tensor) -> Tensor:
    """Inputs of the decoder under teacher forcing: begin, then y without its last.

    >>> shifted(torch.tensor([[7, 8, 2]])).tolist()
    [[1, 7, 8]]
    """
    return torch.cat([torch.full_like(y[:, :1], BOS), y[:, :-1]], 1)


def loss(scores: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy in nats over the real tokens of the batch, end marks included."""
    return F.cross_entropy(scores.flatten(0, 1), y.flatten(), ignore_index=PAD)


@torch.no_grad()
def greedy(model: Translator, x: Tensor, longest: int) -> tuple[list[list[int]], Tensor]:
    """The best token at each step, for a whole batch, in evaluation mode.

    Returns
    -------
    list of B lists of int
        Cut before the first end mark; a sentence that never ends keeps `longest` tokens.
    Tensor, shape (B, T, S)
        The weights of every step taken, also of those after an end.
    """
    was_training = model.training
    model.eval()
    s, memory = model.encode(x)
    y = torch.full((len(s),), BOS, device=s.device)  # (B,)
    done = torch.zeros_like(y, dtype=torch.bool)
    columns, weights = [], []
    for _ in range(longest):
        scores, s, alpha = model.step(y, s, memory)
        y = scores.argmax(-1)  # (B,)
        columns.append(y)
        weights.append(alpha)
        done |= y == EOS
        if done.all():
            break
    model.train(was_training)
    return [cut(row) for row in torch.stack(columns, 1).tolist()], torch.stack(weights, 1)


def cut(row: list[int]) -> list[int]:
    """A sentence before its first end mark.

    >>> cut([7, 8, 2, 9])
    [7, 8]
    """
    return row[: row.index(EOS)] if EOS in row else row


@torch.no_grad()
def forced(model: Translator, x: Tensor, y: Tensor) -> tuple[list[list[int]], float]:
    """Best tokens when the *true* history is given, (B, T), and the loss in nats a token.

    Each row is as long as its target, end mark left out. This is not translation: at each
    step the model is told what came before.
    """
    was_training = model.training
    model.eval()
    scores, _ = model(x, shifted(y))
    model.train(was_training)
    sizes = (y != PAD).sum(1) - 1  # without the end mark
    best = scores.argmax(-1).tolist()
    return [row[:n] for row, n in zip(best, sizes.tolist())], loss(scores, y).item()


@dataclass(frozen=True)
class Training:
    """How long and how fast; Adam with a rate that falls linearly to a twentieth."""

    updates: int  # batches
    rate: float = 5e-3  # first learning rate
    clip: float = 1.0  # largest norm of the gradient


def fit(
    model: Translator, batch: Callable[[], tuple[Tensor, Tensor]], plan: Training
) -> list[float]:
    """Train with teacher forcing on the batches (x, y) that `batch` gives; the losses."""
    adam = torch.optim.Adam(model.parameters(), plan.rate)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.05, plan.updates)
    losses = []
    model.train()
    for _ in range(plan.updates):
        x, y = batch()
        value = loss(model(x, shifted(y))[0], y)
        adam.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        adam.step()
        falling.step()
        losses.append(value.item())
    return losses


def draw_alignment(ax, weights, target: Sequence[str], source: Sequence[str], *, truth=None):
    """Weights (T, S) of one sentence: targets downwards, sources to the right.

    Parameters
    ----------
    truth : array_like of bool, shape (T, S), optional
        True alignment; its cells are framed.
    """
    from matplotlib.patches import Rectangle

    from .plotting import COLOURS, heatmap

    weights = torch.as_tensor(weights).detach().cpu().numpy()
    if weights.shape != (len(target), len(source)):
        raise ValueError(
            f"weights: expected shape {len(target), len(source)}, got {weights.shape}."
        )
    heatmap(ax, weights, rows=target, columns=source, label="attention weight")
    ax.set(xlabel="source", ylabel="target")
    if truth is not None:
        for i, j in torch.as_tensor(truth).nonzero().tolist():
            ax.add_patch(Rectangle(
                (j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=1.6
            ))
    return ax
