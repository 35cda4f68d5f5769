"""Co-occurrence counts, PPMI and the truncated SVD.

Introduced in chapter 2, imported by chapters 3 and 4. Adds to `text`: who stands next to
whom. A corpus is one array of integers `ids` (T,) and the `offsets` (S + 1,) of its S
sentences: sentence s is ``ids[offsets[s]:offsets[s + 1]]``, and no window leaves it.

Letters: T tokens, S sentences, N vocabulary, c window, k components.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_array

from .text import expect_tokens

WEIGHTINGS = ("flat", "distance")
EXACT = 2**53  # float64 holds every integer up to here


def join_sentences(sentences: Iterable[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of integers as one array and their boundaries.

    Returns
    -------
    ids : ndarray, shape (T,), int32
    offsets : ndarray, shape (S + 1,), int64

    >>> ids, offsets = join_sentences([[0, 1, 2], [], [0, 3]])
    >>> ids.tolist(), offsets.tolist()
    ([0, 1, 2, 0, 3], [0, 3, 3, 5])
    """
    expect_tokens(sentences)
    rows = [_sentence(sentence) for sentence in sentences]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    ids = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
    return ids.astype(np.int32), offsets.astype(np.int64)


def window_weights(window: int, weighting: str = "flat") -> np.ndarray:
    """Weight of a neighbour at distance 1, ..., window: all 1, or 1 / distance.

    >>> window_weights(4, "distance").round(3).tolist()
    [1.0, 0.5, 0.333, 0.25]
    """
    if isinstance(window, bool) or not isinstance(window, (int, np.integer)) or window < 1:
        raise ValueError(
            f"window: expected a whole number of at least 1, got {window!r}. "
            "It is the number of neighbours on each side."
        )
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting: expected one of {WEIGHTINGS}, got {weighting!r}.")
    distance = np.arange(1, window + 1)
    return np.ones(window) if weighting == "flat" else 1 / distance


def cooccurrence(
    ids,
    n_vocab: int,
    *,
    offsets=None,
    window: int = 5,
    weighting: str = "flat",
    symmetric: bool = True,
    block: int = 1 << 19,
    workers: int = 1,
) -> csr_array:
    r"""Count who stands within `window` tokens of whom.

    .. math:: X = T^\top B T \; (+ \, T^\top B^\top T \text{ if symmetric}), \qquad
              B_{t, t + d} = \omega_d, \quad 1 \le d \le c

    with T (tokens, N) the one-hot tokens and B zero across sentence ends. ``X[i, j]`` is
    the weighted number of times that j follows i, or stands on either side of it. The
    centre is not its own neighbour; a word that occurs twice in a window is.

    Parameters
    ----------
    ids : array_like of int, shape (T,)
    n_vocab : int
        N; every id is below it.
    offsets : array_like of int, shape (S + 1,), optional
        Sentence boundaries. Without them the corpus is one sentence: windows cross
        whatever full stops there are.
    weighting : {"flat", "distance"}
        1 for every neighbour, or 1 / distance (GloVe, section 4.2).
    symmetric : bool
        Both sides (the slide's table), or the right-hand side only.
    block : int
        Tokens counted at a time: working memory is about 40 * block * window bytes for
        each worker, plus the result.
    workers : int
        Threads; scipy's products run side by side.

    Returns
    -------
    scipy.sparse.csr_array, shape (N, N), float64, indices sorted
        Weights 1 / d are summed as integers lcm(1, ..., c) / d and divided once, so the
        result does not depend on the order or on `block` (for windows up to about 20).

    Notes
    -----
    Time O(T c); 3.4 M tokens with c = 10 take about 2 s.

    >>> cooccurrence([0, 1, 2, 1], 3, window=1).toarray().astype(int).tolist()
    [[0, 1, 0], [1, 0, 2], [0, 2, 0]]
    """
    ids = checked_ids(ids, n_vocab)
    ends = _sentence_ends(len(ids), offsets)
    weights, scale = _whole_weights(window, weighting, len(ids))
    if block < 1 or workers < 1:
        raise ValueError(f"block, workers: expected at least 1, got {block}, {workers}.")

    def one_block(start: int) -> csr_array:
        stop = min(start + block, len(ids))
        return _precedes(ids, ends, start, stop, n_vocab, weights)

    parts: list[csr_array] = []
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(ids), block * workers):
            starts = range(first, min(first + block * workers, len(ids)), block)
            for part in pool.map(one_block, starts):
                _push(parts, part)
    Xt = _total(parts, n_vocab)
    X = Xt.T.tocsr()
    if symmetric:
        X = X + Xt
    X.data /= scale
    return X


def _precedes(ids, ends, start, stop, n_vocab, weights) -> csr_array:
    """(T'BT)' for the tokens t from `start` to `stop`.

    Row t of BT needs no product: it holds the ids of the next tokens of the sentence.
    The result is transposed because that sorts its indices, and sums need them sorted.
    """
    window = len(weights)
    reach = np.minimum(ends[start:stop], np.arange(start, stop) + window + 1)
    length = reach - np.arange(start, stop) - 1  # neighbours of each token
    total, n = int(length.sum()), stop - start
    integer = np.int32 if total < 2**31 else np.int64  # half the memory, where it suffices
    indptr = np.zeros(n + 1, dtype=integer)
    np.cumsum(length, out=indptr[1:])
    distance = np.arange(total, dtype=integer) - np.repeat(indptr[:-1], length)
    at = distance + np.repeat(np.arange(start + 1, stop + 1), length)
    BT = csr_array((weights[distance], ids[at], indptr), shape=(n, n_vocab))
    one_each = np.arange(n + 1, dtype=integer)
    T = csr_array((np.ones(n), ids[start:stop], one_each), shape=(n, n_vocab))
    return (T.T.tocsr() @ BT).T.tocsr()


def cooccurrence_by_pairs(
    sentences, n_vocab: int, *, window: int = 5, weighting: str = "flat",
    symmetric: bool = True,
) -> np.ndarray:
    """The same counts, pair by pair: the readable form, and the oracle of the fast one.

    Returns
    -------
    ndarray, shape (N, N)
        Dense: for small vocabularies.
    """
    weights = window_weights(window, weighting)
    X = np.zeros((n_vocab, n_vocab))
    for sentence in sentences:
        for t, i in enumerate(sentence):
            for d, j in enumerate(sentence[t + 1 : t + 1 + window]):
                X[i, j] += weights[d]
                if symmetric:
                    X[j, i] += weights[d]
    return X


def ppmi(X, shift: float = 0.0, power: float = 1.0) -> csr_array:
    r"""Positive pointwise mutual information of words (rows) and contexts (columns).

    .. math:: \mathrm{PMI}_{ij} = \ln \frac{X_{ij} / X_{i \cdot}}{p_a(j)}, \qquad
              p_a(j) = \frac{X_{\cdot j}^a}{\sum_l X_{\cdot l}^a}, \qquad
              M_{ij} = \max(0, \mathrm{PMI}_{ij} - s)

    Parameters
    ----------
    X : sparse array or ndarray, shape (m, n)
        Counts, none negative.
    shift : float
        s in nats: ln k for the matrix that skip-gram with k negatives factorises (Levy
        and Goldberg, 2014).
    power : float
        a: smoothing of the context distribution, 0.75 in Levy, Goldberg and Dagan (2015).

    Returns
    -------
    scipy.sparse.csr_array, shape (m, n), float64
        Only entries above zero are stored; a row without counts stays empty.

    >>> ppmi(np.array([[2, 0], [0, 2]])).toarray().round(4).tolist()
    [[0.6931, 0.0], [0.0, 0.6931]]
    """
    M = csr_array(X, dtype=np.float64, copy=True)
    M.sum_duplicates()
    if not np.isfinite(M.data).all() or (M.data < 0).any():
        raise ValueError(
            "X: expected finite counts of at least 0, got a negative or non-finite one. "
            "Pass the counts themselves, not their logarithms."
        )
    M.eliminate_zeros()
    if M.nnz == 0:
        return M
    rows, columns = M.sum(axis=1), M.sum(axis=0) ** power
    M.data *= np.repeat(1 / np.where(rows > 0, rows, 1), np.diff(M.indptr))
    M.data *= (columns.sum() / np.where(columns > 0, columns, 1))[M.indices]
    M.data = np.maximum(np.log(M.data) - shift, 0)
    M.eliminate_zeros()
    return M


def truncated_svd(
    X, k: int, *, seed: int = 0, n_iter: int = 4, dtype=np.float32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k largest singular values and their vectors, by random projection.

    Halko, Martinsson and Tropp (2011), algorithms 4.4 and 5.1, as in scikit-learn, with
    10 extra columns and `n_iter` power iterations. In single precision by default: half
    the time, and its rounding (1e-6) is far below the error of the projection (1e-3).

    Returns
    -------
    U (m, k), S (k,), V (n, k)
        ``X`` is about ``U * S @ V.T``; S falls.
    """
    from sklearn.utils.extmath import randomized_svd

    if not 1 <= k <= min(X.shape):
        raise ValueError(f"k: expected 1 to {min(X.shape)}, got {k}.")
    X = X.astype(dtype)
    U, S, Vt = randomized_svd(X, k, n_iter=n_iter, random_state=seed)
    return U, S, Vt.T


def svd_vectors(
    X, k: int, *, exponent: float = 0.5, seed: int = 0, n_iter: int = 4, dtype=np.float32
) -> np.ndarray:
    r"""Word vectors :math:`U_k \Sigma_k^p`, one row a word.

    `exponent` p is the eigenvalue weighting of Levy, Goldberg and Dagan (2015): 1 keeps
    the inner products of the rows of X, 0.5 and 0 flatten the spectrum. Shape (m, k).
    """
    U, S, _ = truncated_svd(X, k, seed=seed, n_iter=n_iter, dtype=dtype)
    return U * S**exponent


def checked_ids(ids, n_vocab: int) -> np.ndarray:
    """The ids as an int32 array (T,), all in 0 ... n_vocab - 1 and at least one."""
    if n_vocab < 1:
        raise ValueError(f"n_vocab: expected at least 1, got {n_vocab}.")
    if isinstance(ids, (str, bytes)):
        expect_tokens(ids)
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(
            f"ids: expected whole numbers in one dimension, got {ids.dtype} of shape "
            f"{ids.shape}. Encode words with a Vocabulary, sentences with join_sentences."
        )
    if ids.size == 0:
        raise ValueError("ids: expected at least one token, got an empty corpus.")
    if ids.min() < 0 or ids.max() >= n_vocab:
        raise ValueError(
            f"ids: expected 0 to {n_vocab - 1}, got {ids.min()} to {ids.max()}."
        )
    return ids.astype(np.int32, copy=False)


def _sentence(sentence) -> np.ndarray:
    expect_tokens(sentence)
    row = np.asarray(sentence)
    if row.ndim != 1 or (row.size and not np.issubdtype(row.dtype, np.integer)):
        raise TypeError(
            f"sentences: expected lists of whole numbers, got {sentence!r:.40}. "
            "Encode words with a Vocabulary first."
        )
    return row.astype(np.int32)


def _sentence_ends(n_tokens: int, offsets) -> np.ndarray:
    """For each token, the position after the last token of its sentence."""
    if offsets is None:
        return np.full(n_tokens, n_tokens)
    offsets = np.asarray(offsets)
    right = offsets.ndim == 1 and len(offsets) > 1 and (np.diff(offsets) >= 0).all()
    if not right or offsets[0] != 0 or offsets[-1] != n_tokens:
        raise ValueError(
            f"offsets: expected 0, ..., {n_tokens}, never falling, got {offsets!r:.60}."
        )
    return np.repeat(offsets[1:], np.diff(offsets))


def _whole_weights(window: int, weighting: str, n_tokens: int) -> tuple[np.ndarray, int]:
    """Weights as whole numbers and their common denominator, where float64 allows it."""
    weights = window_weights(window, weighting)
    scale = 1 if weighting == "flat" else math.lcm(*range(1, window + 1))
    if 2 * scale * window * n_tokens >= EXACT:
        return weights, 1
    return np.rint(weights * scale), scale


def _push(parts: list[csr_array], part: csr_array) -> None:
    """Add up parts of similar size first, so that few are held and few are copied."""
    while parts and parts[-1].nnz <= 2 * part.nnz:
        part = parts.pop() + part
    parts.append(part)


def _total(parts: list[csr_array], n_vocab: int) -> csr_array:
    total = csr_array((n_vocab, n_vocab), dtype=np.float64)
    while parts:
        total = total + parts.pop()
    return total
