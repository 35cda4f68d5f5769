r"""A character model: an LSTM that reads a text as a stream, trained by truncated BPTT.

Introduced in chapter 10. Adds to the LSTM of chapter 8 an embedding of characters, a
stream that is cut into B rows and read T characters at a time with the state carried
over, and the measure: bits per character on text that was not seen. Its `step` is what
`course_utils.decoding` asks for. The rivals are in `course_utils.ngrams`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import decoding, runtime
from .precision import autocast
from .text import Vocabulary, characters

UNKNOWN = "\ufffd"  # stands for characters that training never showed


@dataclass(frozen=True)
class Settings:
    """Size of the model and of its training; one program for all texts."""

    hidden: int = 256  # H
    embedding: int = 64  # D
    rows: int = 32  # B, streams read side by side
    steps: int = 64  # T, characters between two updates
    updates: int = 2000
    rate: float = 1e-2  # of AdamW, after a linear rise and before a cosine fall
    limit: float = 1.0  # global norm of the gradients
    precision: str = "float32"  # of products in training: see `precision.fast_precision`

    def __post_init__(self) -> None:
        for name in ("hidden", "embedding", "rows", "steps", "updates"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected a whole number from 1, got {value!r}.")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate: expected between 0 and 1, got {self.rate!r}.")


@dataclass(frozen=True)
class Training:
    """What a training cost and how it went."""

    losses: Tensor  # (updates,) bits per character of each chunk, before its update
    seconds: float
    cpu_seconds: float


class CharRNN(nn.Module):
    """Embedding, one LSTM layer, and scores of the next character at every step."""

    def __init__(self, N: int, *, hidden: int = 256, embedding: int = 64):
        super().__init__()
        self.embedding = nn.Embedding(N, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.out = nn.Linear(hidden, N)
        with torch.no_grad():  # forget bias 1, chapter 8
            self.lstm.bias_hh_l0.zero_()
            self.lstm.bias_ih_l0[hidden : 2 * hidden].fill_(1.0)

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Scores (B, T, N) and the new state of characters x (B, T)."""
        h, state = self.lstm(self.embedding(x), state)  # (B, T, H)
        return self.out(h), state

    @torch.no_grad()
    def step(self, tokens: Tensor, state=None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """For `decoding`: tokens (B,), state two (B, H), log-probabilities (B, N)."""
        if state is not None:
            state = tuple(part[None].contiguous() for part in state)  # (1, B, H)
        scores, state = self(tokens[:, None], state)
        return torch.log_softmax(scores[:, 0], -1), tuple(part[0] for part in state)


def vocabulary_of(text: str) -> Vocabulary:
    """The characters of a training text, and one entry for all others."""
    return Vocabulary.from_tokens(characters(text), specials=(UNKNOWN,))


def encode(text: str, vocabulary: Vocabulary) -> Tensor:
    """A text as integers (T,); unknown characters keep their place.

    >>> encode("abca", vocabulary_of("aab")).tolist()
    [1, 2, 0, 1]
    """
    return torch.tensor(vocabulary.encode(characters(text), unknown=UNKNOWN))


def chunks(ids: Tensor, rows: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (B, T), so that each chunk goes on where the last one stopped.

    Row r of the text holds characters r L to (r + 1) L; the last characters, too few for
    one more chunk in every row, are left out.

    >>> [x.tolist() for x, y in chunks(torch.arange(9), 2, 2)]
    [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    """
    n_chunks = (len(ids) - 1) // (rows * steps)
    if n_chunks < 1:
        raise ValueError(
            f"ids: expected more than {rows * steps} characters for {rows} rows of {steps}, "
            f"got {len(ids)}."
        )
    L = n_chunks * steps
    x, y = (ids[shift : shift + rows * L].view(rows, L) for shift in (0, 1))
    yield from zip(x.split(steps, 1), y.split(steps, 1))


def update(
    model, optimiser, x: Tensor, y: Tensor, state, limit: float = 1.0, *,
    precision: str = "float32",
):
    """One step of truncated BPTT: the mean nats of a chunk (B, T), the state cut loose."""
    with autocast(x.device, precision):
        scores, state = model(x, state)  # (B, T, N)
    scores = scores if scores.dtype == torch.float64 else scores.float()
    loss = F.cross_entropy(scores.flatten(0, 1), y.flatten())
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimiser.step()
    return loss.item(), tuple(part.detach() for part in state)


def share_of_rate(done: float, warm: float = 0.05) -> float:
    """Linear rise to 1 over the first `warm` of the training, then a half cosine to 0.

    >>> [round(share_of_rate(d), 3) for d in (0.0, 0.025, 0.05, 0.525, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if done < warm:
        return done / warm
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm) / (1 - warm))


def train(
    ids: Tensor, N: int, settings: Settings = Settings(), *, seed: int = 0,
    device: torch.device | str = "cpu", threads: int | None = None,
) -> tuple[CharRNN, Training]:
    """Train a `CharRNN` on a text ids (T,), as many passes as the updates last.

    Parameters
    ----------
    threads : int, optional
        Of torch, during the training; a small layer is faster with one than with two.
    """
    runtime.seed_everything(seed)
    model = CharRNN(N, hidden=settings.hidden, embedding=settings.embedding).to(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        training = _trained(model, ids.to(device), settings)
    finally:
        torch.set_num_threads(before)
    return model.eval(), training


def _trained(model: CharRNN, ids: Tensor, settings: Settings) -> Training:
    optimiser = torch.optim.AdamW(model.parameters(), settings.rate, fused=True)
    start, cpu, losses = time.perf_counter(), time.process_time(), []
    supply = _endless(ids, settings)
    for k in runtime.progress(range(settings.updates), "updates"):
        x, y, fresh = next(supply)
        state = None if fresh else state
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * share_of_rate((k + 1) / (settings.updates + 1))
        loss, state = update(model, optimiser, x, y, state, settings.limit,
                             precision=settings.precision)
        losses.append(loss)
    bits = torch.tensor(losses) / math.log(2)
    seconds = time.perf_counter() - start, time.process_time() - cpu
    return Training(bits, *seconds)


def _endless(ids: Tensor, settings: Settings):
    """Chunks of the text, again and again; True where a pass begins."""
    while True:
        for k, (x, y) in enumerate(chunks(ids, settings.rows, settings.steps)):
            yield x, y, k == 0


@torch.no_grad()
def nats_of(model, ids: Tensor, *, warm: int = 100, rows: int = 25) -> Tensor:
    r"""Cost :math:`-\ln p(x_t | x_{<t})` of each character from place `warm` on.

    The text is cut in `rows` that are read side by side; each row first reads the `warm`
    characters before it, which are not counted. One row reads all from the start.

    Parameters
    ----------
    model : callable (x (B, T), state) -> (scores (B, T, N), state)
    ids : Tensor, shape (T,)

    Returns
    -------
    Tensor, shape (T - warm,)
    """
    if warm < 1 or len(ids) <= warm + rows:
        raise ValueError(
            f"ids: expected more than warm + rows characters, warm at least 1; got "
            f"{len(ids)} characters, warm {warm}, rows {rows}."
        )
    n = len(ids) - warm
    L = math.ceil(n / rows)
    places = torch.arange(rows)[:, None] * L + torch.arange(warm + L)  # (B, warm + L)
    x = ids[places.clamp(max=len(ids) - 1)]  # rows that are too short repeat the last
    nats, state = [], None
    for inputs, targets in zip(x[:, :-1].split(200, 1), x[:, 1:].split(200, 1)):
        scores, state = model(inputs, state)
        loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none")
        nats.append(loss.view(targets.shape))
    return torch.cat(nats, 1)[:, warm - 1 :].flatten()[:n]


def bits_per_character(model, ids: Tensor, *, warm: int = 100, rows: int = 25) -> float:
    """Mean of `nats_of`, in bits."""
    return nats_of(model, ids, warm=warm, rows=rows).mean().item() / math.log(2)


def write(
    model, vocabulary: Vocabulary, prompt: str, length: int, *,
    generator: torch.Generator, copies: int = 1, **rules,
) -> list[str]:
    """Texts that go on from a prompt, drawn by `decoding.sample` (`rules` are its own).

    `model` has a method ``step(tokens, state)``; the prompt is not repeated.
    """
    if not prompt:
        raise ValueError("prompt: expected at least one character to go on from.")
    device = next(iter(model.parameters())).device if hasattr(model, "parameters") else "cpu"
    ids = encode(prompt, vocabulary).to(device).repeat(copies, 1)  # (B, T)
    state = None
    for token in ids[:, :-1].unbind(1):
        _, state = model.step(token, state)
    drawn = decoding.sample(
        model.step, ids[:, -1], state, length=length, generator=generator, **rules
    )
    return ["".join(vocabulary.decode(row)) for row in drawn.tokens.tolist()]
