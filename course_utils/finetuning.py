r"""Fine-tuning: an encoder cut in two, its lower part read once, its upper part trained.

Introduced in chapter 5. Adds to `bert` a class score on top, and to `few_labels` a model
for its curves. With the lower k blocks fixed, their output for a text never changes: it is
computed once, kept for every seed and every number of labels, and only the upper blocks

.. math:: h^L = (B_L \circ \dots \circ B_{k+1})(h^k)

are run forwards and backwards. With k = 0 everything but the tables of the input is tuned;
with k = L nothing but the class score (feature extraction).

The device is the encoder's: move it there before. What is stored stays in main memory.

Letters: M texts, B batch, T tokens, D dimensions, L layers, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import attention as att
from . import runtime
from .bert import Bert, average, batch
from .precision import autocast


@dataclass(frozen=True)
class Stored:
    """What the lower part of an encoder gives for M texts, kept as one long table."""

    flat: Tensor  # (all tokens, D), text after text: the states after `cut` blocks
    starts: Tensor  # (M + 1) first row of each text
    summaries: Tensor | None  # (L + 1, M, D): one vector for each text after each block
    row: dict  # text -> its number

    def rows(self, texts: Sequence[str]) -> Tensor:
        """The numbers (B) of texts in this store."""
        return torch.tensor([self.row[text] for text in texts])

    def take(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States (B, T, D), padded with zeros, and what is real, (B, T)."""
        return self.take_rows(self.rows(texts))

    def take_rows(self, m: Tensor) -> tuple[Tensor, Tensor]:
        """The same for row numbers (B)."""
        lengths = self.starts[m + 1] - self.starts[m]
        real = att.real_positions(lengths.tolist())  # (B, T)
        places = self.starts[m, None] + torch.arange(real.shape[1])  # (B, T)
        places = places.masked_fill(~real, 0)
        return self.flat[places] * real[..., None], real

    def features(self, texts: Sequence[str], layer: int = -1) -> np.ndarray:
        """Summaries (B, D) of texts after a block; 0 is the input, -1 the last."""
        if self.summaries is None:
            raise ValueError("features: expected a store read with a summary.")
        return self.summaries[layer, self.rows(texts)].numpy()


Summary = Callable[[Tensor, Tensor], Tensor]  # (B, T, D) and (B, T) to (B, D)


def largest(h: Tensor, real: Tensor) -> Tensor:
    """The largest value of each coordinate over real tokens: (B, T, D), (B, T) to (B, D).

    >>> h = torch.tensor([[[1.0, 5.0], [2.0, 3.0], [9.0, 9.0]]])
    >>> largest(h, torch.tensor([[True, True, False]])).tolist()
    [[2.0, 5.0]]
    """
    return h.masked_fill(~real[..., None], float("-inf")).amax(1)


@torch.no_grad()
def store(
    bert: Bert, tokenizer, texts: Sequence[str], *, cut: int, longest: int = 48,
    summary: Summary | None = average, size: int = 64, precision: str = "float32",
) -> Stored:
    """Read every text once, in evaluation mode, in batches of about one length.

    Parameters
    ----------
    bert : Bert
    tokenizer : WordPiece
    texts : sequence of str
        Repeated ones are read once.
    cut : int
        The states after this many blocks are kept, token by token.
    longest : int
        Tokens of a text at most, [CLS] and [SEP] included.
    summary : callable or None
        `average` or `largest`: also keep one vector for each text after every block, which
        needs the upper blocks too. None: only the states after `cut` blocks.
    precision : str
        ``"bfloat16"`` computes the products in 16 bits; see `precision.fast_precision`.
    """
    bert.eval()
    L, D, device = bert.config.L, bert.config.D, bert.token.weight.device
    last = cut if summary is None else L
    if not 0 <= cut <= L:
        raise ValueError(f"cut: expected 0 to {L} blocks, got {cut}.")
    texts = list(dict.fromkeys(texts))
    rows = [tokenizer.encode(text, max_length=longest).ids for text in texts]
    lengths = torch.tensor([len(row) for row in rows])
    starts = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    flat = torch.empty(int(starts[-1]), D)
    found = None if summary is None else torch.empty(L + 1, len(rows), D)
    for m in runtime.progress(lengths.argsort().split(size), "reading"):
        ids, real = (x.to(device) for x in batch([rows[i] for i in m.tolist()]))
        x, mask = bert.embed(ids), att.over_keys(real)
        for layer in range(last + 1):
            if layer:
                with autocast(device, precision):
                    x = bert.encoder.blocks[layer - 1](x, mask)
            if layer == cut:
                rows_of = torch.cat([torch.arange(starts[i], starts[i + 1]) for i in m])
                flat[rows_of] = x[real].float().cpu()
            if summary is not None:
                found[layer, m] = summary(x.float(), real).cpu()
    return Stored(flat, starts, found, {text: i for i, text in enumerate(texts)})


class Tuned(nn.Module):
    """The upper blocks of an encoder, one vector for each text, and one score a class.

    The blocks are copies: the encoder given stays as it is. Scores start at zero. The
    vector is the mean over tokens (`average`) or another `summary`, such as `largest`.
    """

    def __init__(
        self, bert: Bert, cut: int, n_classes: int, summary: Summary = average
    ) -> None:
        super().__init__()
        self.summary = summary
        self.blocks = copy.deepcopy(bert.encoder.blocks[cut:])
        self.drop = nn.Dropout(bert.config.dropout)
        self.top = nn.Linear(bert.config.D, n_classes)
        nn.init.zeros_(self.top.weight)
        nn.init.zeros_(self.top.bias)

    def vectors(self, h: Tensor, real: Tensor) -> Tensor:
        """One vector (B, D) for each text, of states (B, T, D) after the lower blocks."""
        mask = att.over_keys(real)
        for block in self.blocks:
            h = block(h, mask)
        return self.summary(h, real)

    def forward(self, h: Tensor, real: Tensor) -> Tensor:
        """Class scores (B, K) of states (B, T, D) after the lower blocks."""
        return self.top(self.drop(self.vectors(h, real)))


@dataclass(frozen=True)
class Plan:
    """How to fine-tune; the rates rise over the first tenth of the steps, then fall to 0."""

    rate: float = 1e-4  # of AdamW, for the blocks
    top_rate: float = 1e-3  # of AdamW, for the class scores
    batch: int = 32  # texts a step
    epochs: int = 1  # at least
    updates: int = 1  # at least: a small set is read more often
    decay: float = 0.01  # weight decay
    precision: str = "float32"  # of the products; the weights stay in float32

    def readings(self, n: int) -> int:
        """How often n texts are read.

        >>> Plan(batch=32, epochs=1, updates=60).readings(128)
        15
        """
        return max(self.epochs, -(-self.updates // -(-n // self.batch)))


def by_length(lengths: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Batches of about one length: sort by length with ties and neighbours shuffled.

    Lengths get a random summand below 2, so a text has other companions in each epoch;
    the batches come in random order.

    >>> parts = by_length(torch.tensor([9, 1, 9, 1]), 2, torch.Generator().manual_seed(0))
    >>> sorted(sorted(part.tolist()) for part in parts)
    [[0, 2], [1, 3]]
    """
    noise = 2 * torch.rand(len(lengths), generator=generator)
    parts = (lengths + noise).argsort().split(size)
    return [parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()]


def fine_tune(
    bert: Bert, kept: Stored, rows: Tensor, y: Tensor, plan: Plan, *,
    cut: int, n_classes: int, seed: int, summary: Summary = average,
) -> Tuned:
    """Train the upper blocks and the class scores on texts `rows` with labels `y`.

    Dropout draws from torch's global generator, which is seeded here.
    """
    runtime.seed_everything(seed)
    g, model = runtime.generator(seed), Tuned(bert, cut, n_classes, summary).train()
    lengths = kept.starts[rows + 1] - kept.starts[rows]
    epochs = plan.readings(len(rows))
    groups = [{"params": model.blocks.parameters(), "lr": plan.rate},
              {"params": model.top.parameters(), "lr": plan.top_rate}]
    adam = torch.optim.AdamW(groups, weight_decay=plan.decay, fused=True)
    steps = slope(epochs * -(-len(rows) // plan.batch))
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, steps)
    for _ in runtime.progress(range(epochs), "fine-tuning"):
        for m in runtime.progress(by_length(lengths, plan.batch, g), "batches"):
            update(model, adam, *kept.take_rows(rows[m]), y[m], plan.precision)
            schedule.step()
    return model.eval()


def update(model: Tuned, adam, h: Tensor, real: Tensor, y: Tensor, precision: str) -> None:
    """One step on stored states (B, T, D) with labels y (B)."""
    device = model.top.weight.device
    with autocast(device, precision):
        scores = model(h.to(device), real.to(device))
    loss = nn.functional.cross_entropy(scores.float(), y.to(device))
    adam.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adam.step()


def slope(n_steps: int) -> Callable[[int], float]:
    """Factor of the rate at each step: up over a tenth of the steps, down to 0.

    >>> [round(slope(20)(i), 2) for i in (0, 1, 2, 11, 20)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warm = max(1, n_steps // 10)

    def factor(i: int) -> float:
        return min((i + 1) / warm, (n_steps - i) / max(1, n_steps - warm))

    return factor


@torch.no_grad()
def vectors(
    model: Tuned, kept: Stored, rows: Tensor, *, size: int = 100, precision: str = "float32"
) -> np.ndarray:
    """One vector for each of the texts `rows`, (M, D), in evaluation mode."""
    model.eval()
    device, D = model.top.weight.device, model.top.in_features
    found = torch.empty(len(rows), D)
    for m in (kept.starts[rows + 1] - kept.starts[rows]).argsort().split(size):
        h, real = (x.to(device) for x in kept.take_rows(rows[m]))
        with autocast(device, precision):
            found[m] = model.vectors(h, real).float().cpu()
    return found.numpy()


@torch.no_grad()
def predict(
    model: Tuned, kept: Stored, rows: Tensor, *, size: int = 100, precision: str = "float32"
) -> np.ndarray:
    """Classes of texts `rows`, in evaluation mode."""
    found = torch.from_numpy(vectors(model, kept, rows, size=size, precision=precision))
    return model.top(found.to(model.top.weight.device)).argmax(1).cpu().numpy()


def classifier(
    bert: Bert, kept: Stored, plan: Plan, *, cut: int, summary: Summary = average
) -> Callable:
    """Fine-tuning as a model of `few_labels`: texts, labels, test texts, seed to classes.

    All texts must be in `kept`, which was read with the same `cut`.
    """

    def classify(texts, labels, test_texts, seed):
        y = torch.as_tensor(labels).long()
        model = fine_tune(bert, kept, kept.rows(texts), y, plan, cut=cut,
                          n_classes=int(y.max()) + 1, seed=seed, summary=summary)
        return predict(model, kept, kept.rows(test_texts), precision=plan.precision)

    return classify
