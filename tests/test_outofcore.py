"""Dask's path against the path in memory: the same numbers, and really less memory."""

import os
import subprocess
import sys

import numpy as np
import pytest

from course_utils import cooccurrence as co
from course_utils import outofcore
from course_utils.text import Vocabulary

MIB = 1 << 20


def write_lines(path, *, tokens, types, letters, seed=0):
    """Lines of 10 to 30 words; each line draws from one of six topics. Returns the lines."""
    rng = np.random.default_rng(seed)
    words = np.array([f"{'w' * letters}{i:05d}" for i in range(types)])
    lengths = rng.integers(10, 31, size=tokens // 20)
    topic = np.repeat(rng.integers(0, 6, size=len(lengths)), lengths)
    rank = (rng.random(lengths.sum()) ** 3 * (types // 6)).astype(int)
    tokens = words[6 * rank + topic]
    ends = np.cumsum(lengths)
    lines = [tokens[e - n : e].tolist() for e, n in zip(ends, lengths)]
    path.write_text("\n".join(map(" ".join, lines)) + "\n", encoding="utf-8")
    return lines


def in_memory(lines, **options):
    vocabulary = Vocabulary.from_tokens(w for line in lines for w in line)
    ids, offsets = co.join_sentences([vocabulary.encode(line) for line in lines])
    return vocabulary, co.cooccurrence(ids, len(vocabulary), offsets=offsets, **options)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "corpus.txt"
    return path, write_lines(path, tokens=4000, types=120, letters=3)


@pytest.mark.parametrize("options", [
    {"window": 1}, {"window": 7, "weighting": "distance", "symmetric": False},
    {"window": 31, "weighting": "distance"},
])
def test_partitions_give_the_same_counts(text, options):
    path, lines = text
    vocabulary, expected = in_memory(lines, **options)
    assert outofcore.count_words(path, partition=1000) == vocabulary
    found = outofcore.count_files(path, vocabulary, partition=1000, **options)
    tolerance = 0 if options["window"] <= 20 else 1e-9
    assert abs(found - expected).max() <= tolerance
    assert expected.nnz == found.nnz > 0


def test_several_files_count_like_one(text, tmp_path):
    path, lines = text
    vocabulary, expected = in_memory(lines, window=2)
    half = len(lines) // 2
    for name, part in (("a.txt", lines[:half]), ("b.txt", lines[half:])):
        (tmp_path / name).write_text("\n".join(map(" ".join, part)) + "\n", encoding="utf-8")
    found = outofcore.count_files([tmp_path / "a.txt", tmp_path / "b.txt"], vocabulary,
                                  window=2)
    assert (found != expected).nnz == 0


def test_rare_words_are_dropped_as_in_the_vocabulary(text):
    path, lines = text
    found = outofcore.count_words(path, partition=1000, min_count=40)
    expected = Vocabulary.from_tokens((w for line in lines for w in line), min_count=40)
    assert found == expected and 0 < len(found) < 120
    kept = [[w for w in line if w in found] for line in lines]
    ids, offsets = co.join_sentences([found.encode(line) for line in kept])
    counts = outofcore.count_files(path, found, window=3, partition=1000)
    assert (counts != co.cooccurrence(ids, len(found), offsets=offsets, window=3)).nnz == 0


def test_compressed_svd_equals_the_exact_one(text):
    """Six topics make six large singular values; the gap behind them makes them exact."""
    M = co.ppmi(in_memory(text[1], window=5)[1])
    U, S, V = outofcore.compressed_svd(outofcore.row_chunks(M, 17), 5, n_iter=12)
    exact = np.linalg.svd(M.toarray(), compute_uv=False)[:5]
    assert U.shape == V.shape == (120, 5)
    assert np.abs(S - exact).max() < 1e-9 * exact[0]
    assert np.abs(np.linalg.norm(M @ V, axis=0) - S).max() < 1e-6


LIMITED = """
import re, resource, sys, threading
from pathlib import Path
import numpy as np
from course_utils import outofcore
from course_utils.text import Vocabulary

threading.stack_size(1 << 20)  # a stack counts as data, and takes 8 MiB if nobody says so

def everything(path, vocabulary, partition, rows):
    assert outofcore.count_words(path, partition=partition) == vocabulary
    X = outofcore.count_files(path, vocabulary, window=2, partition=partition)
    return X, outofcore.compressed_svd(outofcore.row_chunks(X, rows), 5, n_iter=12)[1]

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
warm = folder / "warm.txt"
warm.write_text("a b c d e f\\n" * 9)
everything(warm, outofcore.count_words(warm), 50, 2)      # load every module first
vocabulary = outofcore.count_words(folder / "corpus.txt", partition=1 << 18)
used = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
for whole in (lambda: (folder / "corpus.txt").read_bytes(),
              lambda: np.ones((len(vocabulary), len(vocabulary)))):
    try:
        whole()
    except MemoryError:
        continue
    sys.exit("the limit does not bind: corpus or matrix fitted into memory")
X, S = everything(folder / "corpus.txt", vocabulary, 1 << 18, 64)
np.savez(folder / "found.npz", data=X.data, indices=X.indices, indptr=X.indptr, S=S)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's RLIMIT_DATA")
def test_a_corpus_and_a_matrix_larger_than_the_memory_limit(tmp_path):
    """16 MiB for everything; the text has 20, the dense matrix 17.6. In memory, both fail."""
    limit, path = 16 * MIB, tmp_path / "corpus.txt"
    lines = write_lines(path, tokens=100_000, types=1518, letters=208)
    vocabulary, expected = in_memory(lines, window=2)
    assert path.stat().st_size > 1.2 * limit
    assert 8 * len(vocabulary) ** 2 > 1.05 * limit
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env |= {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}  # no hidden reserve
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path), str(limit)],
                          env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "found.npz") as found:
        for name in ("data", "indices", "indptr"):
            assert np.array_equal(found[name], getattr(expected, name))
        exact = np.sqrt(np.linalg.eigvalsh((expected.T @ expected).toarray())[:-6:-1])
        assert np.abs(found["S"] / exact - 1).max() < 1e-6


def test_an_address_means_a_cluster(text):
    """The same counts through a scheduler's address; here it lives in this process."""
    distributed = pytest.importorskip("distributed")
    path, lines = text
    vocabulary, expected = in_memory(lines, window=2)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False,
                                  dashboard_address=None, protocol="tcp") as cluster:
        address = cluster.scheduler_address
        assert outofcore.count_words(path, partition=5000, address=address) == vocabulary
        found = outofcore.count_files(path, vocabulary, window=2, partition=5000,
                                      address=address)
        A = outofcore.row_chunks(found, 50)
        S = outofcore.compressed_svd(A, 3, n_iter=8, address=address)[1]
    assert (found != expected).nnz == 0
    exact = np.linalg.svd(expected.toarray(), compute_uv=False)[:3]
    assert np.abs(S / exact - 1).max() < 1e-6


@pytest.mark.parametrize("call, error, words", [
    (lambda p: outofcore.count_words(p), ValueError, "got none"),
    (lambda p: outofcore.count_files(p, Vocabulary(("a",), (1,)), weighting="x"), ValueError,
     "flat"),
    (lambda p: outofcore.row_chunks(co.ppmi(np.eye(3)), 0), ValueError, "rows"),
    (lambda p: outofcore.scheduler(workers=0).__enter__(), ValueError, "workers"),
])
def test_bad_input_says_what_to_do(tmp_path, call, error, words):
    path = tmp_path / "empty.txt"
    path.write_text("\n")
    with pytest.raises(error, match=words):
        call(path)


def test_a_file_without_known_words_counts_nothing(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("b c\n")
    assert outofcore.count_files(path, Vocabulary(("a",), (1,))).nnz == 0
