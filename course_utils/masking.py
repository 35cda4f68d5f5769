r"""What BERT is trained to predict: hidden words, and whether two sentences are neighbours.

Introduced in chapter 5. On top of torch this module adds the corruption of a batch for the
masked language model, and pairs of sentences for the second task.

Of all tokens that are not special, 15 % are chosen. Of the chosen, 80 % become [MASK], 10 %
a random token, 10 % stay: 12, 1.5 and 1.5 % of all. The three cases are parts of **one**
draw :math:`u` from [0, 1) for each token, so they cannot overlap:

.. math:: [0,\, 0.12) \to \text{[MASK]}, \quad [0.12,\, 0.135) \to \text{random}, \quad
          [0.135,\, 0.15) \to \text{kept}, \quad [0.15,\, 1) \to \text{not chosen}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

IGNORED = -100  # label of a token that the loss does not count, as in torch's cross-entropy


@dataclass(frozen=True)
class Masking:
    """The rule by which tokens are chosen and changed; Devlin et al. (2019), section 3.1.

    A special token is never chosen, and never drawn as the random one. The random token
    may happen to be the token itself (once in N), as in the original.
    """

    n_vocab: int  # types of the vocabulary
    mask_id: int  # integer of [MASK]
    special_ids: tuple[int, ...]  # [PAD], [UNK], [CLS], [SEP], [MASK]
    rate: float = 0.15  # share of tokens chosen
    masked: float = 0.8  # share of the chosen that become [MASK]
    random: float = 0.1  # share of the chosen that become a random token; the rest is kept
    exact: bool = False  # the same number in each row, round(rate * tokens), at least 1

    def __post_init__(self) -> None:
        if self.mask_id not in self.special_ids:
            raise ValueError(
                f"special_ids: expected the id of [MASK], {self.mask_id}, among "
                f"{self.special_ids}."
            )
        if not 0 < self.rate <= 1 or min(self.masked, self.random) < 0:
            raise ValueError(f"rate: expected a share above 0, got {self}.")
        if self.masked + self.random > 1 + 1e-12:
            raise ValueError(f"expected masked + random of at most 1, got {self}.")
        if len(set(self.special_ids)) >= self.n_vocab:
            raise ValueError(f"n_vocab: expected types beside the special ones, got {self}.")

    def __call__(self, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Corrupt a batch.

        Parameters
        ----------
        ids : Tensor of int, (B, T)
        generator : torch.Generator
            On the device of `ids`. The same generator gives the same masks, which a
            held-out loss needs in order to be comparable.

        Returns
        -------
        inputs : Tensor of int, (B, T)
        labels : Tensor of int, (B, T)
            The token to predict where one was chosen, `IGNORED` elsewhere.
        """
        special = torch.tensor(self.special_ids, device=ids.device)
        free = ~torch.isin(ids, special)  # (B, T)
        u = torch.rand(ids.shape, generator=generator, device=ids.device)
        if self.exact:
            chosen = _smallest(u.masked_fill(~free, 2.0), self.quota(free))
            u = torch.rand(ids.shape, generator=generator, device=ids.device) * self.rate
        else:
            chosen = free & (u < self.rate)
        masked = chosen & (u < self.rate * self.masked)
        changed = chosen & (u < self.rate * (self.masked + self.random)) & ~masked
        inputs = ids.masked_fill(masked, self.mask_id)
        inputs = torch.where(changed, self.draw(ids, generator), inputs)
        return inputs, ids.masked_fill(~chosen, IGNORED)

    def quota(self, free: Tensor) -> Tensor:
        """How many tokens of each row are chosen if the number is fixed: (B)."""
        n = free.sum(1)
        return torch.minimum(n, (self.rate * n).round().long().clamp(min=1))

    def draw(self, ids: Tensor, generator: torch.Generator) -> Tensor:
        """Random tokens in the shape of `ids`, uniform over all that are not special."""
        ordinary = torch.ones(self.n_vocab, dtype=torch.bool)
        ordinary[list(self.special_ids)] = False
        ordinary = ordinary.nonzero()[:, 0].to(ids.device)  # (N - specials)
        place = torch.randint(
            len(ordinary), ids.shape, generator=generator, device=ids.device
        )
        return ordinary[place]


def _smallest(u: Tensor, n: Tensor) -> Tensor:
    """True at the n[b] smallest entries of row b: (B, T)."""
    return u.argsort(1).argsort(1) < n[:, None]


class SentencePair(NamedTuple):
    """Two sentences as integers, and whether the second followed the first."""

    first: Sequence[int]
    second: Sequence[int]
    is_next: bool


def sentence_pairs(
    documents: Sequence[Sequence[Sequence[int]]], *, generator: torch.Generator
) -> list[SentencePair]:
    """One pair for each two neighbours: half true neighbours, half from another document.

    The wrong second sentence is never from the same document, where it could be a
    neighbour by chance; it is drawn uniformly from the sentences of all the others.

    Parameters
    ----------
    documents : sequence of documents, a document a sequence of sentences, each integers
    generator : torch.Generator

    Returns
    -------
    list of SentencePair
        In reading order; shuffle them before training.
    """
    documents = [d for d in documents if len(d)]
    owner = torch.tensor([k for k, d in enumerate(documents) for _ in d])
    if len(documents) < 2:
        raise ValueError(f"documents: expected at least 2, got {len(documents)}.")
    sentences = [s for d in documents for s in d]
    starts = torch.searchsorted(owner, torch.arange(len(documents)))
    pairs = []
    for k, document in enumerate(documents):
        others = len(sentences) - len(document)
        for first, second in zip(document, document[1:]):
            is_next = bool(torch.rand((), generator=generator) < 0.5)
            if not is_next:
                i = int(torch.randint(others, (), generator=generator))
                second = sentences[i if i < starts[k] else i + len(document)]
            pairs.append(SentencePair(first, second, is_next))
    return pairs
