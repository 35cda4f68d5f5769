r"""From a model that predicts the next token to a sequence: search and sampling.

Introduced in chapter 10. A model is here one function,

    log_probs, state = step(tokens, state)

with tokens (B,) the last ones, log_probs (B, N) of the next ones, normalised, and a state
that belongs to the model: ``None``, a tensor whose first axis is B, or tuples, lists and
dictionaries of such. For another layout pass ``reorder``. B sequences advance together;
the returned tokens do not contain the first one, and contain the end token if it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
MOST_SEQUENCES = 100_000  # that `exhaustive` agrees to look at


@dataclass(frozen=True)
class Generated:
    """B sequences of tokens; after its end token a row is filled with that token."""

    tokens: Tensor  # (B, T) int64
    log_prob: Tensor  # (B,) nats under the model, the end token included


@dataclass(frozen=True)
class Hypothesis:
    """One sequence found by a search."""

    tokens: tuple[int, ...]  # with the end token, if it came
    log_prob: float  # nats
    score: float  # what it is ranked by: log_prob / length ** alpha


def tempered(log_probs: Tensor, temperature: float) -> Tensor:
    r"""Log-probabilities of :math:`p_i^{1/\tau} / \sum_j p_j^{1/\tau}`.

    Below 1 the likely tokens gain; the limit 0 is greedy choice, the limit infinity a
    uniform one over the tokens with positive probability.

    >>> p = torch.tensor([0.8, 0.2])
    >>> [round(v, 2) for v in tempered(p.log(), 0.5).exp().tolist()]  # 16 : 1
    [0.94, 0.06]
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(
            f"temperature: expected a finite number above 0, got {temperature!r}. "
            "For the limit 0 use greedy(...)."
        )
    return torch.log_softmax(log_probs / temperature, -1)


def top_k(log_probs: Tensor, k: int) -> Tensor:
    """Keep the k most likely tokens, renormalised; the others get -inf (Fan et al., 2018).

    >>> p = torch.tensor([0.5, 0.3, 0.2])
    >>> [round(v, 3) for v in top_k(p.log(), 2).exp().tolist()]
    [0.625, 0.375, 0.0]
    """
    N = log_probs.shape[-1]
    _expect_whole("k", k)
    kept = log_probs.topk(min(k, N), -1).indices
    mask = torch.ones_like(log_probs, dtype=torch.bool).scatter(-1, kept, False)
    return torch.log_softmax(log_probs.masked_fill(mask, -math.inf), -1)


def nucleus(log_probs: Tensor, p: float) -> Tensor:
    """Keep the smallest set of most likely tokens that reaches probability p.

    The token that crosses p is kept (Holtzman et al., 2020, equation 2). Unlike `top_k`
    the set is large where the model hesitates and small where it is sure.

    >>> q = torch.tensor([0.5, 0.3, 0.2])
    >>> [round(v, 3) for v in nucleus(q.log(), 0.6).exp().tolist()]
    [0.625, 0.375, 0.0]
    """
    if not 0 < p <= 1:
        raise ValueError(f"p: expected a probability in (0, 1], got {p!r}.")
    ordered, places = log_probs.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()  # mass of the more likely ones
    drop = before >= p - 1e-6
    mask = torch.zeros_like(drop).scatter(-1, places, drop)
    return torch.log_softmax(log_probs.masked_fill(mask, -math.inf), -1)


def generate(
    step: Step,
    first: Tensor,
    state: Any,
    *,
    length: int,
    pick: Callable[[Tensor], Tensor],
    end: int | None = None,
) -> Generated:
    """Go on from `first` (B,), one token after another, as `pick` decides.

    Parameters
    ----------
    step : function of (tokens (B,), state)
        See the module's head.
    first : Tensor, shape (B,), int64
        A start token, or the last token of a text that `state` has read.
    length : int
        Most tokens of a row; fewer if every row has ended.
    pick : function of log_probs (B, N)
        Returns the next tokens (B,).
    end : int, optional
        The token after which a row is over.
    """
    _expect_start(first, length)
    token, log_prob = first, torch.zeros(len(first), device=first.device)
    over = torch.zeros(len(first), dtype=torch.bool, device=first.device)
    tokens = []
    for _ in range(length):
        log_probs, state = step(token, state)
        _expect_distribution(log_probs, len(first), end)
        token = pick(log_probs).to(first.device)
        if end is not None:
            token = token.masked_fill(over, end)
        gained = log_probs.gather(1, token[:, None])[:, 0].to(log_prob)
        log_prob = log_prob + gained.masked_fill(over, 0.0)
        tokens.append(token)
        over = over if end is None else over | (token == end)
        if over.all():
            break
    return Generated(torch.stack(tokens, 1), log_prob)


def greedy(
    step: Step, first: Tensor, state: Any, *, length: int, end: int | None = None
) -> Generated:
    """The most likely next token at each step: fast, and not the most likely sequence."""
    return generate(
        step, first, state, length=length, end=end, pick=lambda log_p: log_p.argmax(-1)
    )


def sample(
    step: Step,
    first: Tensor,
    state: Any,
    *,
    length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    k: int | None = None,
    p: float | None = None,
    end: int | None = None,
) -> Generated:
    """Draw each next token: first the temperature, then top-k, then the nucleus.

    `log_prob` of the result is that of the model, before any of the three.
    """

    def pick(log_probs: Tensor) -> Tensor:
        changed = tempered(log_probs, temperature)
        changed = changed if k is None else top_k(changed, k)
        changed = changed if p is None else nucleus(changed, p)
        here = changed.exp().to(generator.device)
        return torch.multinomial(here, 1, generator=generator)[:, 0]

    return generate(step, first, state, length=length, end=end, pick=pick)


def beam(
    step: Step,
    first: Tensor,
    state: Any,
    *,
    width: int,
    length: int,
    end: int | None = None,
    alpha: float = 0.0,
    reorder: Callable[[Any, Tensor], Any] | None = None,
) -> list[list[Hypothesis]]:
    r"""Beam search: of all continuations keep the `width` best, at every step.

    Sequences are ranked by :math:`\log p(y) / |y|^\alpha`, the length with the end token;
    :math:`\alpha = 0` is the plain probability, :math:`\alpha = 1` the mean per token
    (Wu et al., 2016, use :math:`((5 + |y|) / 6)^\alpha` instead). An ended sequence keeps
    its place in the beam and competes with those that go on.

    Parameters
    ----------
    first : Tensor, shape (B,), int64
        One start for each of B searches, which run together.
    width : int
        Sequences kept. Width 1 is `greedy`. With ``N ** (length - 1)`` nothing is lost.
    reorder : function of (state, rows), optional
        The state of the given rows, (M,) int64 with repetition; by default `take_rows`.

    Returns
    -------
    list of B lists of Hypothesis
        At most `width` each, best first; sequences of probability zero are left out.
    """
    _expect_start(first, length)
    _expect_whole("width", width)
    reorder = reorder or take_rows
    B, device = len(first), first.device
    base = torch.arange(B, device=device)[:, None] * width  # (B, 1)
    log_prob = torch.full((B, width), -math.inf, device=device)
    log_prob[:, 0] = 0.0  # one start each, not `width` copies
    size = torch.zeros(B, width, dtype=torch.int64, device=device)
    over = torch.zeros(B, width, dtype=torch.bool, device=device)
    tokens = torch.empty(B, width, 0, dtype=torch.int64, device=device)
    state = reorder(state, torch.arange(B, device=device).repeat_interleave(width))
    last = first.repeat_interleave(width)  # (B * W)
    for _ in range(length):
        log_probs, state = step(last, state)
        _expect_distribution(log_probs, B * width, end)
        going_on = _continuations(log_probs.view(B, width, -1), over, end)  # (B, W, N)
        total = log_prob[..., None] + going_on
        size = size + (~over).long()
        ranked = (total / size[..., None].to(total) ** alpha).flatten(1)  # (B, W * N)
        parent, token = _divide(ranked.topk(width, 1).indices, total.shape[-1])
        log_prob = total.flatten(1).gather(1, parent * total.shape[-1] + token)
        size, over = size.gather(1, parent), over.gather(1, parent)
        tokens = tokens.gather(1, parent[..., None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([tokens, token[..., None]], 2)
        over = over if end is None else over | (token == end)
        if over.logical_or(log_prob.isneginf()).all():
            break
        state, last = reorder(state, (base + parent).flatten()), token.flatten()
    return [_hypotheses(*row, alpha) for row in zip(tokens, size, log_prob)]


def exhaustive(
    step: Step,
    first: Tensor,
    state: Any,
    *,
    length: int,
    end: int | None = None,
    alpha: float = 0.0,
    reorder: Callable[[Any, Tensor], Any] | None = None,
) -> list[Hypothesis]:
    """Every sequence of one start, best first: the yardstick of `beam`, for toy sizes."""
    if len(first) != 1:
        raise ValueError(f"first: expected one start, got {len(first)}.")
    N = step(first, state)[0].shape[-1]
    if N**length > MOST_SEQUENCES:
        raise ValueError(
            f"expected at most {MOST_SEQUENCES:,} sequences, got {N} ** {length}. "
            "Shorten the length, or search with beam(...)."
        )
    return beam(
        step, first, state, width=N**length, length=length, end=end, alpha=alpha,
        reorder=reorder,
    )[0]


def sequence_log_prob(step: Step, first: Tensor, state: Any, tokens: Tensor) -> Tensor:
    """Log-probability (B,) of given tokens (B, T), each fed to the model in turn."""
    _expect_start(first, tokens.shape[1])
    total = 0.0
    for before, token in zip([first, *tokens.unbind(1)], tokens.unbind(1)):
        log_probs, state = step(before, state)
        _expect_distribution(log_probs, len(first), None)
        total = total + log_probs.gather(1, token[:, None])[:, 0]
    return total


def take_rows(state: Any, rows: Tensor, axis: int = 0) -> Any:
    """The given rows (M,) of every tensor in a state, along its batch axis.

    >>> take_rows((torch.tensor([5, 6]), None), torch.tensor([1, 1, 0]))
    (tensor([6, 6, 5]), None)
    """
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.index_select(axis, rows.to(state.device))
    if isinstance(state, (tuple, list)):
        parts = [take_rows(part, rows, axis) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if isinstance(state, dict):
        return {name: take_rows(part, rows, axis) for name, part in state.items()}
    raise TypeError(
        f"state: expected None, tensors, or tuples, lists and dictionaries of them, got "
        f"{type(state).__name__}. Pass reorder=..., a function of (state, rows)."
    )


def _continuations(log_probs: Tensor, over: Tensor, end: int | None) -> Tensor:
    """Log-probabilities (B, W, N); an ended row goes on in one way, for nothing."""
    if end is None:
        return log_probs
    stay = torch.full_like(log_probs[0, 0], -math.inf)
    stay[end] = 0.0
    return torch.where(over[..., None], stay, log_probs)


def _divide(places: Tensor, N: int) -> tuple[Tensor, Tensor]:
    """Place in the flattened (W, N) to row and token."""
    return places.div(N, rounding_mode="floor"), places % N


def _hypotheses(tokens: Tensor, size: Tensor, log_prob: Tensor, alpha: float) -> list:
    found = []
    for row, n, nats in zip(tokens.tolist(), size.tolist(), log_prob.tolist()):
        if nats > -math.inf:
            found.append(Hypothesis(tuple(row[:n]), nats, nats / n**alpha))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def _expect_start(first: Tensor, length: int) -> None:
    whole = isinstance(first, Tensor) and first.dtype == torch.int64
    if not whole or first.ndim != 1 or len(first) == 0:
        got = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        kind = f", {first.dtype}" if isinstance(first, Tensor) else ""
        raise ValueError(
            f"first: expected int64 tokens of shape (B,), B at least 1, got {got}{kind}."
        )
    _expect_whole("length", length)


def _expect_whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected a whole number from 1, got {value!r}.")


def _expect_distribution(log_probs: Tensor, rows: int, end: int | None) -> None:
    """Normalised log-probabilities (rows, N), or an error that says what is wrong."""
    if log_probs.ndim != 2 or len(log_probs) != rows:
        raise ValueError(
            f"step: expected log-probabilities of shape ({rows}, N), got "
            f"{tuple(log_probs.shape)}."
        )
    mass = log_probs.exp().sum(-1)
    if not bool(((mass - 1).abs() < 1e-3).all()):
        raise ValueError(
            "step: expected log-probabilities, whose exponentials add up to 1, got a sum "
            f"of {mass[(mass - 1).abs().argmax()].item():.4g}. Scores need log_softmax; "
            "a NaN means that the model has diverged."
        )
    if end is not None and not 0 <= end < log_probs.shape[1]:
        raise ValueError(f"end: expected 0 to {log_probs.shape[1] - 1}, got {end}.")
