r"""A BERT with its two pre-training heads, and attention that starts at the neighbours.

Introduced in chapter 5. On top of `bert` this module adds the head that predicts masked
tokens (on the chosen positions only: most of the work of a small model is its vocabulary),
the head for next sentence prediction, and a learned bias for each distance,

.. math:: \mathrm{score}_{ts} = q_t^\top k_s / \sqrt d + b_{a,\,s-t} ,

one number for each head a and each distance, as in Raffel et al. (2020), section 2.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bert import Bert, BertConfig
from .masking import IGNORED
from .spans import Batch

STARTS = ("plain", "free", "neighbours")


class DistanceBias(nn.Module):
    """b, one number for each head and distance: (A, T, T), rows queries, columns keys.

    Distances beyond `reach` share the outermost entry. It starts at zero; `look` lets
    head 0, 1, 2, 3, ... prefer the distance -1, +1, -2, +2, ...
    """

    def __init__(self, n_heads: int, reach: int = 8) -> None:
        super().__init__()
        self.reach = reach
        self.b = nn.Parameter(torch.zeros(n_heads, 2 * reach + 1))

    def look(self, strength: float) -> DistanceBias:
        """Raise one entry of each head to `strength`, once, before training."""
        with torch.no_grad():
            for a in range(len(self.b)):
                step = (a // 2 % self.reach + 1) * (1 if a % 2 else -1)
                self.b[a, self.reach + step] = strength
        return self

    def forward(self, T: int) -> Tensor:
        t = torch.arange(T, device=self.b.device)
        distance = (t - t[:, None]).clamp(-self.reach, self.reach)  # (T, T), s - t
        return self.b[:, distance + self.reach]


class Pretrainer(nn.Module):
    """The encoder and both heads; Devlin et al. (2019), section 3.1.

    The matrix of the vocabulary head is the table of token embeddings, as in BERT.

    Parameters
    ----------
    config : BertConfig
    start : str
        ``"plain"``: BERT. ``"free"``: with a distance bias that starts at zero.
        ``"neighbours"``: the same bias, started at the neighbours.
    """

    def __init__(self, config: BertConfig, start: str = "neighbours") -> None:
        super().__init__()
        if start not in STARTS:
            raise ValueError(f"start: expected one of {STARTS}, got {start!r}.")
        D = config.D
        self.bert = Bert(config)
        self.distance = None if start == "plain" else DistanceBias(config.n_heads)
        self.start = start
        self.transform, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        self.b_y = nn.Parameter(torch.zeros(config.n_vocab))
        self.pool, self.next = nn.Linear(D, D), nn.Linear(D, 2)

    def initialise(self, generator: torch.Generator) -> Pretrainer:
        """BERT's start, and the bias's own."""
        Bert.initialise(self, generator)
        if self.start == "neighbours":
            self.distance.look(4.0)
        return self

    def vectors(self, ids: Tensor, segments: Tensor) -> Tensor:
        """One vector a token, (B, T, D)."""
        bias = None if self.distance is None else self.distance(ids.shape[1])
        return self.bert(ids, segments, bias=bias)

    def tokens(self, h: Tensor) -> Tensor:
        """Scores of all types for vectors (n, D): (n, N)."""
        h = self.norm(F.gelu(self.transform(h)))
        return F.linear(h, self.bert.token.weight, self.b_y)

    def forward(self, ids: Tensor, segments: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the vocabulary at `places`, (n, N), and of NSP, (B, 2).

        Parameters
        ----------
        ids, segments : Tensor of int, (B, T)
        places : Tensor of int, (n)
            The chosen positions, counted through the flattened batch.
        """
        h = self.vectors(ids, segments)  # (B, T, D)
        return self.tokens(h.flatten(0, 1)[places]), self.next(torch.tanh(self.pool(h[:, 0])))


def nats(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over a batch, in nats: of the chosen tokens, of NSP; and NSP's hits.

    Sums, not means: processes hold different numbers of chosen tokens, and a mean of
    their means would not be the mean.
    """
    labels = batch.labels.flatten()
    places = (labels != IGNORED).nonzero()[:, 0]
    tokens, follows = model(batch.inputs, batch.segments, places)
    of_tokens = F.cross_entropy(tokens.float(), labels[places], reduction="sum")
    of_next = F.cross_entropy(follows.float(), batch.is_next, reduction="sum")
    return of_tokens, of_next, (follows.argmax(1) == batch.is_next).sum()
