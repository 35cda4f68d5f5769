"""Counting and the SVD for corpora and matrices that do not fit into memory, with Dask.

Introduced in chapter 2. Adds to `cooccurrence`: text files are read in partitions that end
at line ends, each is counted alone, and counts are added up; the SVD sees a matrix a few
rows at a time. Everything runs in this process by default; give the address of a scheduler
(``"tcp://...:8786"``) to run it on a cluster whose workers see the same files. A cluster
needs the package `distributed`; nothing else does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from .cooccurrence import WEIGHTINGS, cooccurrence
from .text import Vocabulary


@contextmanager
def scheduler(address: str | None = None, *, workers: int = 1) -> Iterator[None]:
    """Where Dask computes: in this process, or on the cluster at `address`.

    Parameters
    ----------
    address : str, optional
        A scheduler's address. None: the embedded scheduler.
    workers : int
        Threads of the embedded scheduler. With 1, the memory holds one partition.
    """
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}.")
    if address is None:
        import dask

        kind = "synchronous" if workers == 1 else "threads"
        with dask.config.set(scheduler=kind, num_workers=workers):
            yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            f"address={address!r} means a cluster, and a cluster needs the package "
            "distributed: run `pip install distributed`, or leave the address out."
        ) from error
    with Client(address):
        yield


def count_words(
    paths: str | Path | Sequence[str | Path], *, partition: int = 1 << 24,
    min_count: int = 1, address: str | None = None,
) -> Vocabulary:
    """The vocabulary of text files: words between spaces, lines as sentences.

    Equal to ``Vocabulary.from_tokens`` on all words at once.

    Parameters
    ----------
    partition : int
        Bytes read at a time; memory is about 15 times as much.
    """
    with scheduler(address):
        lines = _lines(paths, partition)
        pairs = lines.str.split().flatten().frequencies(split_every=4).compute()
    kept = sorted(((w, n) for w, n in pairs if n >= min_count), key=lambda p: (-p[1], p[0]))
    if not kept:
        raise ValueError(
            f"paths: expected words that occur at least {min_count} times, got none. "
            "Are the files empty?"
        )
    return Vocabulary(*zip(*kept))


def count_files(
    paths: str | Path | Sequence[str | Path], vocabulary: Vocabulary, *, window: int = 5,
    weighting: str = "flat", symmetric: bool = True, partition: int = 1 << 24,
    address: str | None = None,
) -> csr_array:
    """`cooccurrence` of text files, partition by partition.

    Words outside the vocabulary are left out before windows are laid. The result equals
    the in-memory counts to the last bit, because partitions add up whole numbers.

    Returns
    -------
    scipy.sparse.csr_array, shape (N, N), float64
    """
    scale = 1 if weighting == "flat" else math.lcm(*range(1, min(window, 20) + 1))

    def whole_counts(lines) -> csr_array:
        ids, offsets = _encode(lines, vocabulary)
        if not len(ids):
            return csr_array((len(vocabulary), len(vocabulary)))
        X = cooccurrence(ids, len(vocabulary), offsets=offsets, window=window,
                         weighting=weighting, symmetric=symmetric)
        if window <= 20:
            X.data = np.rint(X.data * scale)
        return X

    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting: expected one of {WEIGHTINGS}, got {weighting!r}.")
    with scheduler(address):
        X = _lines(paths, partition).reduction(whole_counts, _add_up, split_every=4).compute()
    if window <= 20:
        X.data /= scale
    return X


def row_chunks(X: csr_array, rows: int):
    """A sparse matrix (m, n) as a dense ``dask.array`` that exists `rows` rows at a time.

    Each chunk is made when it is needed and forgotten afterwards.
    """
    import dask
    import dask.array as da

    if rows < 1:
        raise ValueError(f"rows: expected at least 1, got {rows}.")
    dense = dask.delayed(lambda part: part.toarray(), pure=False)
    parts = [
        da.from_delayed(dense(X[i : i + rows]), (min(rows, X.shape[0] - i), X.shape[1]),
                        dtype=X.dtype)
        for i in range(0, X.shape[0], rows)
    ]
    return da.concatenate(parts)


def compressed_svd(
    A, k: int, *, n_iter: int = 4, seed: int = 0, address: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k largest singular values and vectors of a ``dask.array`` (m, n).

    The same method as `cooccurrence.truncated_svd`; the matrix is read again in each
    pass, 2 `n_iter` + 2 times in all, instead of being kept.

    Returns
    -------
    U (m, k), S (k,), V (n, k)
    """
    import dask
    from dask.array.linalg import svd_compressed

    with scheduler(address):
        U, S, Vt = dask.compute(*svd_compressed(
            A, k, iterator="QR", n_power_iter=n_iter, n_oversamples=10, seed=seed,
            compute=True,
        ))
    return U, S, Vt.T


def _lines(paths, partition: int):
    from dask import bag

    names = [paths] if isinstance(paths, (str, Path)) else list(paths)
    return bag.read_text([str(name) for name in names], blocksize=partition)


def _encode(lines, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Known words of the lines as ids (T,), and the offsets of the lines (S + 1,)."""
    rows = [
        np.array(vocabulary.encode(line.split(), skip=True), dtype=np.int32) for line in lines
    ]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return np.concatenate([np.empty(0, dtype=np.int32), *rows]), offsets.astype(np.int64)


def _add_up(parts) -> csr_array:
    total = None
    for part in parts:
        total = part if total is None else total + part
    return total
