r"""English to French: a split without leaks, tokens, batches, BLEU, and a baseline.

Introduced in chapter 10. On top of `data.interface` it adds a split by component *and* by
normalised string; on top of `seq2seq`, batches of similar length. `bleu` is the formula of
Papineni et al. (2002) on tokens; published figures come from sacrebleu.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from . import seq2seq
from .data import interface_strings
from .data.interface import plain_pair, side
from .text import ngrams

TOKEN = re.compile(r"\w+['’](?=\w)|\w+(?:-\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Split:
    """Pairs of strings, and how many the rules against leaks have left out."""

    train: list[tuple[str, str]]
    test: list[tuple[str, str]]
    dropped: dict[str, int]  # reason -> pairs


def split(
    source: dict[tuple[str, str], str], target: dict[tuple[str, str], str], *,
    longest: int = 8, share: int = 8,
) -> Split:
    """Pairs of two languages, by component and by normalised string.

    One component in `share`, by the SHA-256 of its name, is the test part: other authors,
    other devices. A string that stands in components of both parts is left out. So is a
    training pair whose source or target equals one of the test part but for case, digits
    and punctuation.

    Parameters
    ----------
    source, target : dict
        ``(component, key)`` to string, as `data.interface_strings` gives them.
    longest : int
        Most words on either side.
    """
    where: dict[tuple[str, str], set[str]] = {}
    for key, text in source.items():
        if key in target and plain_pair(text, target[key], longest):
            where.setdefault((text, target[key]), set()).add(key[0])
    pairs = sorted(where, key=lambda p: (side(p[0]), p))  # fixed, and as good as shuffled
    test = [p for p in pairs if all(held_out(c, share) for c in where[p])]
    train = [p for p in pairs if not any(held_out(c, share) for c in where[p])]
    seen = {side(one) for one, _ in test}, {side(other) for _, other in test}
    kept = [p for p in train if side(p[0]) not in seen[0] and side(p[1]) not in seen[1]]
    return Split(kept, test, {
        "in components of both parts": len(where) - len(train) - len(test),
        "near-duplicates of a test string": len(train) - len(kept),
    })


def english_french(*, longest: int = 8) -> Split:
    """The split of the interface strings, English to French."""
    return split(interface_strings("en"), interface_strings("fr"), longest=longest)


def held_out(component: str, share: int) -> bool:
    """Tell whether a component belongs to the test part."""
    return int(hashlib.sha256(component.encode()).hexdigest(), 16) % share == 0


def tokens(text: str) -> list[str]:
    """Lower-case tokens with straight apostrophes; a French elision is a token of its own.

    >>> tokens("L'état de la porte-fenêtre.")
    ["l'", 'état', 'de', 'la', 'porte-fenêtre', '.']
    """
    return TOKEN.findall(text.replace("’", "'").lower())


def sentence(tokens: Sequence[str]) -> str:
    """Tokens as text again: no space after an elision or "(", none before ". , )".

    >>> sentence(["l'", 'état', '(', 'de', 'la', 'porte', ')', '.'])
    "l'état (de la porte)."
    """
    text = "".join(t if t.endswith("'") or t == "(" else t + " " for t in tokens)
    return re.sub(r" ([.,)])", r"\1", text).strip()


def batches(
    x: Sequence[list[int]], y: Sequence[list[int]], rng: np.random.Generator, *, B: int = 64
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches (B, S), (B, T) of pairs of similar length, so with little padding.

    Each pass draws a new order, sorts pools of 16 batches by length, and shuffles the
    batches. `y` gets its end mark.
    """
    while True:
        order = rng.permutation(len(x))
        cuts = []
        for start in range(0, len(order), 16 * B):
            pool = sorted(order[start : start + 16 * B], key=lambda i: (len(x[i]), len(y[i])))
            cuts += [pool[k : k + B] for k in range(0, len(pool), B)]
        for k in rng.permutation(len(cuts)):
            yield (
                seq2seq.pad([x[i] for i in cuts[k]]),
                seq2seq.pad([y[i] for i in cuts[k]], end=True),
            )


def bleu(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, longest: int = 4
) -> float:
    r"""Corpus BLEU on tokens, one reference each, from 0 to 1, without smoothing.

    .. math:: \min\left(1, e^{1 - |r|/|c|}\right) \prod_{n=1}^4 p_n^{1/4}

    with :math:`p_n` the share of the candidates' n-grams that are in their reference, each
    counted at most as often as there; sums over the corpus come first, then one division.
    Papineni et al. (2002).

    >>> round(bleu(["a b c d e".split()], ["a b c d f".split()]), 4)     # (4 3 2 1 / 5 4 3 2)^(1/4)
    0.6687
    """
    if len(candidates) != len(references) or not candidates:
        raise ValueError(f"expected pairs, got {len(candidates)} and {len(references)}.")
    log = 0.0
    for n in range(1, longest + 1):
        hits = total = 0
        for ours, theirs in zip(candidates, references):
            c, r = Counter(ngrams(ours, n)), Counter(ngrams(theirs, n))
            hits, total = hits + (c & r).total(), total + c.total()
        if hits == 0:
            return 0.0
        log += math.log(hits / total) / longest
    c, r = (sum(map(len, rows)) for rows in (candidates, references))
    return math.exp(log + min(0.0, 1 - r / c))


def nearest(
    sources: Sequence[Sequence[str]], known: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> list[Sequence[str]]:
    """Translate by memory: the target of the known source that shares most tokens.

    The share is \\|A and B\\| / \\|A or B\\| of the two sets of tokens (Jaccard), ties to the
    first. The baseline that a model must beat to have learned more than its training set.
    """
    import scipy.sparse as sp

    types = {t: i for i, t in enumerate(sorted({t for one, _ in known for t in one}))}

    def rows(texts: Sequence[Sequence[str]]) -> sp.csr_matrix:
        sets = [sorted({types[t] for t in text if t in types}) for text in texts]
        ends = np.cumsum([0] + [len(s) for s in sets])
        flat = np.array([i for s in sets for i in s], dtype=np.int64)
        return sp.csr_matrix((np.ones(len(flat)), flat, ends), (len(texts), len(types)))

    A, B = rows(sources), rows([one for one, _ in known])
    both = (A @ B.T).toarray()  # (n, m)
    sizes = np.array([len(set(text)) for text in sources])[:, None]
    either = sizes + np.asarray(B.sum(1)).T - both
    return [known[j][1] for j in (both / either).argmax(1)]
