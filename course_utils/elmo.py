r"""A bidirectional language model, and ELMo: a learned mixture of its layers.

Introduced in chapter 5. On top of torch's LSTM this module adds two language models that
never see the word they predict, a loss over a sample of the vocabulary, and the weighted
sum of Peters et al. (2018). Letters: L layers, D the size of a word's vector, H cells.

The word vectors are given and stay fixed; a new word therefore only needs a vector.
Sentences start from a zero state, whose prediction is the bias: how frequent each word is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bidirectional import reverse, token_mask
from .text import Vocabulary


@dataclass(frozen=True)
class Text:
    """Running text as integers, and a fixed vector for each of its types."""

    vocabulary: Vocabulary  # N types, how often each occurs; at least 1
    table: Tensor  # (N, D) float32, GloVe, divided by the mean norm
    ids: np.ndarray  # (T,) int64


def running_text(more: Iterable[str] = ()) -> Text:
    """The course's running text (chapter 2) over GloVe's 50-dimensional vectors.

    Types without a vector are dropped. Types of `more` join the vocabulary with a count
    of 1, if GloVe has them, so that other texts can be read with the same integers.
    """
    from . import corpora, data

    corpus, glove = corpora.training_corpus(), data.glove()
    row = {word: i for i, word in enumerate(glove.words)}
    counts = dict(zip(corpus.vocabulary.types, corpus.vocabulary.counts))
    for word in more:
        counts.setdefault(word, 1)
    types = tuple(word for word in counts if word in row)
    vocabulary = Vocabulary(types, tuple(counts[word] for word in types))
    table = torch.from_numpy(glove.matrix[[row[word] for word in types]])
    known = np.array([vocabulary[t] if t in vocabulary else -1
                      for t in corpus.vocabulary.types])
    ids = known[corpus.ids]
    return Text(vocabulary, table / table.norm(dim=1).mean(), ids[ids >= 0])


class Direction(nn.Module):
    r"""L LSTM layers in one direction, each with H cells projected back to D numbers.

    A sum leads around every layer but the first, as in Peters et al. (2018), section 3.4.
    """

    def __init__(self, L: int, D: int, H: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.LSTM(D, H, batch_first=True) for _ in range(L))
        self.projections = nn.ModuleList(nn.Linear(H, D) for _ in range(L))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The states of each layer, L tensors (B, T, D), left to right."""
        found: list[Tensor] = []
        for cell, projection in zip(self.cells, self.projections):
            h = projection(cell(x)[0])  # (B, T, D)
            x = h + x if found else h
            found.append(x)
        return found


class BiLM(nn.Module):
    r"""A forward and a backward language model over one table of word vectors.

    .. math:: \sum_k \log p(t_k \mid t_1 \dots t_{k-1}) + \log p(t_k \mid t_{k+1} \dots t_N)

    Peters et al. (2018), section 3.1. The two share the vectors, as input and as output,
    and the bias; nothing else. In each, a word's score is the inner product of its vector
    with the state next to it, plus its bias.

    Parameters
    ----------
    table : Tensor, (N, D)
        Word vectors; kept fixed.
    counts : sequence of int, length N
        How often each word occurs; the bias starts at the logarithm of its share.
    L, H : int
        Layers, and cells a layer.
    """

    def __init__(self, table: Tensor, counts: Sequence[int], *, L: int = 2, H: int = 128):
        super().__init__()
        counts = torch.as_tensor(np.asarray(counts), dtype=table.dtype)
        if table.ndim != 2 or counts.shape != table.shape[:1] or counts.min() <= 0:
            raise ValueError(
                f"expected a table (N, D) and N counts above 0, got {tuple(table.shape)} "
                f"and {tuple(counts.shape)}. Give a word that was never seen a count of 1."
            )
        self.register_buffer("table", table)
        self.bias = nn.Parameter((counts / counts.sum()).log())
        D = table.shape[1]
        self.there, self.back = Direction(L, D, H), Direction(L, D, H)

    def directions(self, ids: Tensor, lengths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """States of each layer, forward and backward: 2 times L tensors (B, T, D)."""
        x = self.table[ids]  # (B, T, D)
        back = [reverse(h, lengths) for h in self.back(reverse(x, lengths))]
        return self.there(x), back

    def states(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """What ELMo mixes: (L + 1, B, T, 2D), zero on padding.

        Layer 0 is the word's vector, twice; layer j is [forward; backward].
        """
        x = self.table[ids]
        there, back = self.directions(ids, lengths)
        pairs = zip([x, *there], [x, *back])
        h = torch.stack([torch.cat(pair, -1) for pair in pairs])
        return h * token_mask(lengths, ids.shape[1])[..., None]

    def contexts(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The two states that predict token k: those of k - 1 and of k + 1, (B, T, D).

        At the ends there is nothing to read, and the state is zero.
        """
        there, back = (h[-1] for h in self.directions(ids, lengths))
        real = token_mask(lengths, ids.shape[1])[..., None]
        before = F.pad(there, (0, 0, 1, 0))[:, :-1]  # state k - 1 stands at k
        after = F.pad(back * real, (0, 0, 0, 1))[:, 1:]  # state k + 1 stands at k
        return before, after

    def log_probabilities(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """log p of every token given its past, and given its future: (2, B, T).

        The exact softmax over N words: for evaluation, not for training. 0 on padding.
        """
        real = token_mask(lengths, ids.shape[1])
        found = []
        for h in self.contexts(ids, lengths):
            scores = (h @ self.table.T + self.bias).log_softmax(-1)  # (B, T, N)
            found.append(scores.gather(-1, ids[..., None])[..., 0] * real)
        return torch.stack(found)

    def loss(self, ids: Tensor, sample: Tensor, log_q: Tensor) -> Tensor:
        """Mean nats a token over both directions, on full rows (B, T), with a sample."""
        lengths = torch.full((len(ids),), ids.shape[1], device=ids.device)
        h = torch.stack(self.contexts(ids, lengths))  # (2, B, T, D)
        return sampled_loss(
            h.flatten(0, 2), ids.expand(2, -1, -1).flatten(),
            (self.table, self.bias), sample, log_q,
        )


def sampled_loss(
    h: Tensor, targets: Tensor, output: tuple[Tensor, Tensor], sample: Tensor, log_q: Tensor
) -> Tensor:
    r"""Cross-entropy against the target and a sample of words instead of all N.

    .. math:: -\log \frac{e^{s_t}}{e^{s_t} + \sum_{k \ne t} e^{s_k} / (K q_k)}

    The sum over the K sampled words estimates, without bias, the sum over all words but
    the target (Jean et al., 2015); its logarithm is a little too low on average. Words of
    the sample that are the target are left out.

    Parameters
    ----------
    h : Tensor, (n, D)
    targets : Tensor of int, (n,)
    output : (table (N, D), bias (N,))
    sample : Tensor of int, (K,)
        Drawn with replacement, word w with probability q_w; the same for all rows.
    log_q : Tensor, (N,)
    """
    table, bias = output
    right = (h * table[targets]).sum(-1) + bias[targets]  # (n,)
    weight = bias[sample] - log_q[sample] - float(np.log(len(sample)))  # (K,)
    others = torch.addmm(weight, h, table[sample].T)  # (n, K)
    others = others.masked_fill(sample == targets[:, None], -torch.inf)
    return (torch.cat([right[:, None], others], 1).logsumexp(1) - right).mean()


def mix(h: Tensor, w: Tensor, gamma: Tensor | float = 1.0) -> Tensor:
    r"""ELMo: the layers under a softmax of w, times gamma.

    .. math:: \gamma \sum_j s_j h_j, \qquad s = \mathrm{softmax}(w)

    Peters et al. (2018), equation 1. `h` is (L + 1, ...), `w` is (L + 1,).

    >>> mix(torch.tensor([[1.0], [5.0]]), torch.zeros(2), 2.0).tolist()
    [6.0]
    """
    if w.shape != h.shape[:1]:
        raise ValueError(f"w: expected {len(h)} numbers, one a layer, got {tuple(w.shape)}.")
    return gamma * torch.tensordot(w.softmax(0), h, 1)


def rows(ids: np.ndarray, T: int) -> Tensor:
    """A running text cut into rows of T tokens, (n, T); the rest is dropped."""
    n = len(ids) // T
    if n < 1:
        raise ValueError(f"ids: expected at least {T} tokens, got {len(ids)}.")
    return torch.as_tensor(np.asarray(ids[: n * T], dtype=np.int64)).view(n, T)


def train(
    model: BiLM, text: Tensor, *, updates: int, lr: float, generator: torch.Generator,
    B: int = 64, K: int = 512,
) -> Iterator[float]:
    """Adam on random rows of `text` (n, T), rate falling in a straight line; the losses.

    The sample of words is drawn anew for each update, by their counts to the power 3/4.
    """
    share = model.bias.detach().softmax(0) ** 0.75
    log_q = (share / share.sum()).log()
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learned, lr=lr)
    for step in range(updates):
        for group in optimiser.param_groups:
            group["lr"] = lr * (1 - step / updates)
        ids = text[torch.randint(len(text), (B,), generator=generator)]
        sample = torch.multinomial(log_q.exp(), K, True, generator=generator)
        loss = model.loss(ids, sample, log_q)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        yield loss.item()


def padded(sentences: Iterable[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ragged rows of integers as (B, T), padded right with 0, and their lengths (B,).

    >>> padded([[7], [8, 9]])[0].tolist()
    [[7, 0], [8, 9]]
    """
    sentences = [torch.as_tensor(s) for s in sentences]
    lengths = torch.tensor([len(s) for s in sentences])
    return nn.utils.rnn.pad_sequence(sentences, batch_first=True), lengths
