"""Bags of words and the linear models on top of them.

Introduced in chapter 1, which writes every function below in a cell first; later chapters
import them as baselines. Adds to `text`: sparse matrices with one row a document.

Letters: M documents, N vocabulary, K classes. Every model is a pair (W, b) with
W (N, K) and b (K,), and predicts ``argmax(X @ W + b)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax

from .text import Vocabulary, expect_tokens


def count_matrix(documents: Sequence[Sequence[str]], vocabulary: Vocabulary) -> csr_array:
    """Row m counts the tokens of document m; tokens outside the vocabulary are skipped.

    Returns
    -------
    scipy.sparse.csr_array, shape (M, N), float64
        One stored number for each (document, type) that occurs.

    >>> counts = count_matrix([["a", "b", "a"]], Vocabulary(("a", "b", "c"), (2, 1, 0)))
    >>> counts.toarray().tolist()
    [[2.0, 1.0, 0.0]]
    """
    indices, indptr = [], [0]
    for tokens in documents:
        expect_tokens(tokens)
        indices += vocabulary.encode(tokens, skip=True)
        indptr.append(len(indices))
    indices, indptr = np.int32(indices), np.int32(indptr)
    shape = (len(indptr) - 1, len(vocabulary))
    X = csr_array((np.ones(len(indices)), indices, indptr), shape=shape)
    X.sum_duplicates()
    return X


def idf_weights(X: csr_array) -> np.ndarray:
    r"""Inverse document frequency of each column, smoothed.

    .. math:: \mathrm{idf}_j = 1 + \ln \frac{1 + M}{1 + \mathrm{df}_j}

    with M rows and :math:`\mathrm{df}_j` rows in which type j occurs (Spärck Jones, 1972;
    the smoothing and the leading 1 are scikit-learn's convention). Shape (N,).
    """
    df = np.bincount(X.indices, minlength=X.shape[1])
    return 1 + np.log((1 + X.shape[0]) / (1 + df))


def tfidf(X: csr_array, idf: np.ndarray, *, sublinear: bool = False) -> csr_array:
    """Counts times idf, each row scaled to length 1; empty rows stay zero.

    With `sublinear`, a count n becomes 1 + ln n first. Shape (M, N).
    """
    X = X.copy()
    if sublinear:
        X.data = 1 + np.log(X.data)
    X.data = X.data * idf[X.indices]
    length = np.sqrt(X.multiply(X).sum(axis=1))
    X.data = X.data / np.repeat(length, np.diff(X.indptr))
    return X


def naive_bayes(
    X: csr_array, y: np.ndarray, n_classes: int, alpha: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Multinomial naive Bayes as a linear model.

    .. math:: W_{jk} = \ln \frac{\alpha + S_{jk}}{\alpha N + \sum_i S_{ik}},
              \qquad b_k = \ln \frac{M_k}{M}

    with :math:`S_{jk}` the total of column j over the documents of class k.
    """
    Y = _one_of_k(y, n_classes)  # (M, K)
    S = X.T @ Y + alpha  # (N, K)
    return np.log(S / S.sum(axis=0)), np.log(Y.mean(axis=0))


def complement_naive_bayes(
    X: csr_array, y: np.ndarray, n_classes: int, alpha: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Complement naive Bayes (Rennie et al., 2003, section 3.1).

    Each class is described by the documents of all the *other* classes, which are more
    numerous and of more equal number; the sign is turned, and there is no prior.
    """
    S = X.T @ _one_of_k(y, n_classes)  # (N, K)
    others = S.sum(axis=1, keepdims=True) - S + alpha
    return -np.log(others / others.sum(axis=0)), np.zeros(n_classes)


def softmax_loss(
    theta: np.ndarray, X: csr_array, Y: np.ndarray, decay: float
) -> tuple[float, np.ndarray]:
    r"""Regularised cross-entropy of softmax regression, and its gradient.

    .. math:: L = -\frac1M \sum_m \ln p_{m, y_m} + \frac{\lambda}{2} \lVert W \rVert^2,
              \qquad p_m = \mathrm{softmax}(x_m W + b)

    Parameters
    ----------
    theta : ndarray, shape ((N + 1) * K,)
        W and, as its last row, b.
    X : csr_array, shape (M, N)
    Y : ndarray, shape (M, K)
        One-hot labels.
    decay : float
        lambda; b is not decayed.

    Returns
    -------
    loss (nats), gradient of the shape of `theta`
    """
    W, b = theta[: -Y.shape[1]].reshape(-1, Y.shape[1]), theta[-Y.shape[1] :]
    Z = X @ W + b  # (M, K)
    loss = -(Y * log_softmax(Z, axis=1)).sum() / len(Y) + decay / 2 * (W * W).sum()
    G = (softmax(Z, axis=1) - Y) / len(Y)  # (M, K)
    return loss, np.concatenate([(X.T @ G + decay * W).ravel(), G.sum(axis=0)])


def softmax_regression(
    X: csr_array, y: np.ndarray, n_classes: int, *, decay: float = 1e-6, steps: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise `softmax_loss` by L-BFGS from zero, in at most `steps` steps.

    The loss is convex: W is unique for decay > 0, b up to a constant for all classes.
    """
    Y = _one_of_k(y, n_classes)
    start = np.zeros((X.shape[1] + 1) * n_classes)
    found = minimize(
        softmax_loss, start, args=(X, Y, decay), jac=True, method="L-BFGS-B",
        options={"maxiter": steps},
    )
    return found.x[:-n_classes].reshape(-1, n_classes), found.x[-n_classes:]


def predict(X: csr_array, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The class with the largest score, shape (M,)."""
    return np.argmax(X @ W + b, axis=1)


def _one_of_k(y: np.ndarray, n_classes: int) -> np.ndarray:
    y = np.asarray(y)
    if y.size == 0 or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(
            f"y: expected labels 0 to {n_classes - 1}, got {y.min(initial=0)} "
            f"to {y.max(initial=0)} ({y.size} labels)."
        )
    return np.eye(n_classes)[y]
