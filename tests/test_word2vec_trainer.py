"""The block trainer: equal to the per-pair oracle, resumable, and quick to stop."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils import blocks, corpora, trainer, word2vec
from course_utils.trainer import Settings, Shape
from course_utils.wordvectors import WordVectors

N, D, b, w, M, K = 13, 5, 7, 3, 11, 2


def toy_sentences(n=300, seed=0):
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, 41)
    return [
        [f"w{i}" for i in rng.choice(40, size=rng.integers(2, 30), p=p / p.sum())]
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def corpus():
    return corpora.corpus_from_lines(toy_sentences(), min_count=1)


# ---- the step against the oracle --------------------------------------------------------


def scene():
    """Three blocks: sentences of 9, 1, 4 tokens, few types, so that all ids repeat."""
    rng = torch.Generator().manual_seed(1)
    ids = torch.randint(4, (14,), generator=rng)
    sentence = torch.tensor([0] * 9 + [1] + [2] * 4)
    line = blocks.lay_out(ids, sentence, w, N, b)
    radius = torch.randint(1, w + 1, (len(line), b), generator=rng)
    radius *= line[:, w : w + b] != N
    negatives = torch.randint(4, (len(line), M), generator=rng)
    tables = torch.randn(2, N + 1, D, generator=rng, dtype=torch.float64)
    tables[:, N] = 0
    return ids, sentence, blocks.Blocks(line, radius, negatives), tables


def windows(batch):
    """(block, centre id, context ids) of each place, from radius and pads, in Python."""
    for n, (line, radius) in enumerate(zip(batch.line.tolist(), batch.radius.tolist())):
        for i, r in enumerate(radius):
            t = i + w
            around = [line[s] for s in range(t - r, t + r + 1) if s != t and line[s] != N]
            if r and around:
                yield n, line[t], around


def oracle(batch, tables, model):
    """Changes of both tables by SGD of rate 1, with the readable per-pair form."""
    output = word2vec.NegativeSampling(np.full(N, 1 / N), K)
    W, W_out = tables[0, :N], tables[1, :N]
    change = torch.zeros(2, N, D, dtype=torch.float64)
    for n, centre, around in windows(batch):
        if model == "skip-gram":
            examples = [(word2vec.one_word(torch.tensor([centre]), torch.float64), j)
                        for j in around]
        else:
            examples = [(word2vec.mean_of([around], torch.float64), centre)]
        for bag, target in examples:
            asked = output.against(
                torch.tensor([target]), batch.negatives[n : n + 1], K / M, torch.float64
            )
            _, dW, dW_out = word2vec.loss_and_gradients(W, W_out, bag, output, asked)
            change -= torch.stack([dW, dW_out])
    return change


def step_of(batch, tables, model, rate=1.0, bound=float("inf")):
    W, W_out = tables.clone()
    band = blocks.bands(batch.line, batch.radius, N, blocks.band_table(b, w).double())
    count = band.sum(2, keepdim=True)
    if model == "cbow":
        band, count = band / count.clamp(min=1), (count > 0).double()
    trainer.STEPS[model](W, W_out, batch, band, count * K / M, rate, bound)
    return torch.stack([W, W_out]) - tables


@pytest.mark.parametrize("model", ["skip-gram", "cbow"])
def test_a_block_step_equals_the_pairs_one_by_one(model):
    _, _, batch, tables = scene()
    change = step_of(batch, tables, model)
    assert change[:, :N].abs().max() > 0.1
    torch.testing.assert_close(
        change[:, :N], oracle(batch, tables, model), rtol=0, atol=1e-12
    )
    assert change[:, N].abs().max() == 0  # the pad never moves


def steps_of_rows(batch, model):
    """How many steps each row of both tables makes, counted pair by pair: (2, N)."""
    steps = torch.zeros(2, N, dtype=torch.float64)
    for n, centre, around in windows(batch):
        pairs = len(around) if model == "skip-gram" else 1
        if model == "skip-gram":
            steps[0, centre] += pairs * (1 + K)
        for j in around:
            if model == "skip-gram":
                steps[1, j] += 1
            else:
                steps[0, j] += (1 + K) / len(around)
        if model == "cbow":
            steps[1, centre] += 1
        for j in batch.negatives[n].tolist():
            steps[1, j] += pairs * K / M
    return steps


@pytest.mark.parametrize("model", ["skip-gram", "cbow"])
def test_a_busy_row_is_damped_and_no_other(model):
    """Row by row, its plain step times min(1, bound / (rate s)), s counted pair by pair."""
    _, _, batch, tables = scene()
    steps, rate = steps_of_rows(batch, model), 0.3
    bound = rate * steps[steps > 0].median().item()
    plain = step_of(batch, tables, model, rate)[:, :N]
    damped = step_of(batch, tables, model, rate, bound)[:, :N]
    factor = (bound / (rate * steps)).clamp(max=1)[..., None]
    assert 0 < (factor < 1).sum() < (steps > 0).sum()  # some are, some are not
    torch.testing.assert_close(damped, factor * plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", ["skip-gram", "cbow"])
def test_without_a_busy_row_it_is_plain_sgd(model):
    """Bit by bit, where no row exceeds the bound; one below the largest, and it is not."""
    _, _, batch, tables = scene()
    most = 0.01 * steps_of_rows(batch, model).max().item()
    plain = step_of(batch, tables, model, 0.01)
    assert torch.equal(step_of(batch, tables, model, 0.01, most * 1.001), plain)
    assert not torch.equal(step_of(batch, tables, model, 0.01, most * 0.999), plain)


def test_the_layout_gives_the_pairs_of_the_sentences():
    """Windows of full width: the same multiset as `word2vec.pairs`, none across ends."""
    ids, sentence, batch, _ = scene()
    full = batch._replace(radius=w * (batch.radius > 0))
    ours = sorted((c, j) for _, c, around in windows(full) for j in around)
    rows = [ids[sentence == s].tolist() for s in range(3)]
    assert ours == sorted(word2vec.pairs(rows, w))


def test_the_band_never_holds_a_centre_or_a_pad():
    _, _, batch, _ = scene()
    band = blocks.bands(batch.line, batch.radius, N, blocks.band_table(b, w).double())
    for i in range(b):
        assert band[:, i, i + w].sum() == 0
    assert (band.sum(1) * (batch.line == N)).sum() == 0


def test_expected_weight_of_negatives_is_k_a_pair(corpus):
    """Over a piece: the sum of weights of all negatives is K times the number of pairs."""
    run = trainer.Run(corpus, Settings(negatives=K), Shape(), torch.device("cpu"))
    for part, band, weight, _ in trainer.batches(run, 0, 0):
        total = (weight * part.negatives.shape[1]).sum()
        assert total.item() == pytest.approx(K * band.sum().item(), rel=1e-5)


# ---- training ---------------------------------------------------------------------------


def two_topics(n=250, seed=0):
    """Sentences of one of two word sets: vectors must tell the sets apart."""
    rng = np.random.default_rng(seed)
    return [[f"{'ab'[s % 2]}{i}" for i in rng.integers(20, size=20)] for s in range(n)]


@pytest.mark.parametrize("model", ["skip-gram", "cbow"])
@pytest.mark.parametrize("workers, threads", [(1, False), (2, False), (2, True)])
def test_it_learns(model, workers, threads):
    settings = Settings(model=model, dimension=8, epochs=20, subsample=0)
    found = trainer.train(two_topics(), settings, workers=workers, threads=threads,
                          shape=Shape(piece=1000, batch=4))
    E = found.vectors.matrix / np.linalg.norm(found.vectors.matrix, axis=1, keepdims=True)
    topic = np.array([t[0] for t in found.vectors.vocabulary.types])
    same, gram = topic[:, None] == topic, E @ E.T
    assert gram[same].mean() > gram[~same].mean() + 0.5
    assert found.words == 20 * 5000 and found.words_per_second > 0


def test_seeds(corpus):
    runs = [trainer.train(corpus, Settings(dimension=D, epochs=1, seed=s)) for s in (0, 0, 1)]
    first, again, other = (r.vectors.matrix for r in runs)
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_sentences_a_file_and_a_corpus_are_one(tmp_path):
    lines = toy_sentences(50)
    path = tmp_path / "text.txt"
    path.write_text("\n".join(map(" ".join, lines)), encoding="utf-8")
    settings = Settings(dimension=D, epochs=1)
    found = [trainer.train(t, settings, min_count=2).vectors.matrix
             for t in (lines, path, corpora.corpus_from_lines(lines, min_count=2))]
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_word2vec_trainer as t
from course_utils import corpora, trainer
corpus = corpora.corpus_from_lines(t.toy_sentences(), min_count=1)
save = trainer.Run.save
def save_and_say(run):
    save(run)
    print(run.done, flush=True)
    if run.done == (1, 3):
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
trainer.Run.save = save_and_say
trainer.train(corpus, t.RESUMED, shape=t.SHORT, checkpoint=Path({path!r}), every=0)
"""
RESUMED, SHORT = Settings(dimension=D, epochs=3), Shape(piece=500, batch=2)


def test_resume_after_a_kill_gives_the_same_vectors(corpus, tmp_path):
    path = tmp_path / "run.pt"
    code = KILLED.format(tests=str(Path(__file__).parent), path=str(path))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed = trainer.train(corpus, RESUMED, shape=SHORT, checkpoint=path, resume=True)
    whole = trainer.train(corpus, RESUMED, shape=SHORT)
    assert 0 < resumed.words < whole.words
    assert np.array_equal(resumed.vectors.matrix, whole.vectors.matrix)
    assert np.array_equal(resumed.W_out, whole.W_out)


def test_a_checkpoint_of_another_run_is_refused(corpus, tmp_path):
    path = tmp_path / "run.pt"
    trainer.train(corpus, Settings(dimension=D, epochs=1), checkpoint=path)
    with pytest.raises(FileExistsError, match="resume=True"):
        trainer.train(corpus, Settings(dimension=D, epochs=1), checkpoint=path)
    with pytest.raises(ValueError, match="rate"):
        trainer.train(corpus, Settings(dimension=D, epochs=1, rate=0.05), checkpoint=path,
                      resume=True)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        trainer.train(corpus, checkpoint=tmp_path / "other.pt", resume=True)


INTERRUPTED = """
import os, sys, threading, time
sys.path.insert(0, {tests!r})
import test_word2vec_trainer as t
from course_utils import trainer
seen = set()
def slow(*args, read=trainer.read):
    me = f"{{os.getpid()}} {{threading.get_ident()}}"
    if me not in seen:
        os.write(1, f"{{me}}\\n".encode())  # in one piece: two processes write
    seen.add(me)
    time.sleep(0.05)
    return read(*args)
trainer.read = slow
trainer.train(t.toy_sentences(), trainer.Settings(epochs=10_000), workers=2,
              shape=trainer.Shape(piece=50))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a POSIX system")
def test_ctrl_c_stops_two_workers(tmp_path):
    """Of ten thousand epochs the pieces in hand are finished, and no more."""
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED.format(tests=str(Path(__file__).parent)))
    run = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    try:
        team = {run.stdout.readline() for _ in range(2)}
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=30)
    finally:
        run.kill()
    assert len(team) == 2 and run.returncode and "KeyboardInterrupt" in told


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are threads")
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED.format(tests=str(Path(__file__).parent)))
    run = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    try:
        team = [int(run.stdout.readline().split()[0]) for _ in range(2)]
    finally:
        run.kill()
        run.wait()
    assert run.pid not in team
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in team):
            return
        time.sleep(0.05)
    raise AssertionError(f"still alive: {team}")


def test_two_workers_leave_the_threads_as_they_were(corpus):
    before = torch.get_num_threads()
    trainer.train(corpus, Settings(dimension=D, epochs=1), workers=2)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_bound(corpus, monkeypatch, workers):
    """They move the same rows at the same time, so their steps add up."""
    bounds, step = set(), blocks.skip_gram_step

    def note(*args):
        bounds.add(args[-1])
        step(*args)

    monkeypatch.setitem(trainer.STEPS, "skip-gram", note)
    trainer.train(corpus, Settings(dimension=D, epochs=1), workers=workers, threads=True,
                  shape=Shape(piece=500, bound=6.0))
    assert bounds == {6.0 / workers}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are threads")
def test_a_killed_worker_is_said(corpus, monkeypatch):
    monkeypatch.setattr(trainer, "read", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(BrokenProcessPool):
        trainer.train(corpus, Settings(dimension=D, epochs=1), workers=2)


def test_two_workers_read_each_piece_once_and_go_on_inside_an_epoch(
        corpus, tmp_path, monkeypatch):
    """From a checkpoint inside an epoch: its missing pieces, then whole epochs."""
    path, done, read = tmp_path / "run.pt", tmp_path / "done.txt", trainer.read

    def stop(run, epoch, piece):
        if (epoch, piece) == (1, 1):
            raise KeyboardInterrupt
        return read(run, epoch, piece)

    monkeypatch.setattr(trainer, "read", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(corpus, RESUMED, shape=SHORT, checkpoint=path, every=0)

    def note(run, epoch, piece):
        with done.open("a") as file:
            file.write(f"{epoch} {piece}\n")
        return read(run, epoch, piece)

    monkeypatch.setattr(trainer, "read", note)
    trainer.train(corpus, RESUMED, shape=SHORT, checkpoint=path, resume=True, workers=2)
    n = len(trainer.cut(corpus.offsets, SHORT.piece))
    assert n > 2
    found = sorted(tuple(map(int, line.split())) for line in done.read_text().splitlines())
    assert found == [(1, p) for p in range(1, n)] + [(2, p) for p in range(n)]


@pytest.mark.parametrize("options, error, message", [
    (dict(window=0), ValueError, "window"),
    (dict(epochs=0), ValueError, "epochs"),
    (dict(model="glove"), ValueError, "skip-gram"),
    (dict(rate=-1.0), ValueError, "rate"),
])
def test_bad_settings(options, error, message):
    with pytest.raises(error, match=message):
        Settings(**options)


@pytest.mark.parametrize("text, error, message", [
    ("the dog", TypeError, "Path"),
    (["the dog"], TypeError, "Split it first"),
    ([], ValueError, "empty"),
    ([[]], ValueError, "empty"),
])
def test_bad_text(text, error, message):
    with pytest.raises(error, match=message):
        trainer.train(text)


def test_a_missing_file():
    with pytest.raises(FileNotFoundError):
        trainer.train(Path("no such file"))


@pytest.mark.parametrize("workers", [1, 2])
def test_divergence_is_said(workers):
    with pytest.raises(FloatingPointError, match="Lower the rate"):
        trainer.train(two_topics(), Settings(rate=0.99, epochs=60, subsample=0),
                      workers=workers, shape=Shape(bound=float("inf")))


def test_workers_are_for_the_cpu(corpus):
    with pytest.raises(ValueError, match="workers"):
        trainer.train(corpus, workers=0)


# ---- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
def test_files_of_word2vec(binary, tmp_path, corpus):
    gensim = pytest.importorskip("gensim.models")
    vectors = trainer.train(corpus, Settings(dimension=D, epochs=1)).vectors
    path = tmp_path / "vectors"
    vectors.save(path, binary=binary)
    assert np.array_equal(WordVectors.load(path, binary=binary).matrix, vectors.matrix)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(path), binary=binary)
    assert theirs.index_to_key == list(vectors.vocabulary.types)
    np.testing.assert_allclose(theirs.vectors, vectors.matrix, rtol=0, atol=1e-7)
    theirs.save_word2vec_format(str(path), binary=binary)
    again = WordVectors.load(path, binary=binary)
    assert again.vocabulary.types == vectors.vocabulary.types
    assert not list(tmp_path.glob("*.part"))


def test_to_gensim(corpus):
    pytest.importorskip("gensim")
    vectors = trainer.train(corpus, Settings(dimension=D, epochs=1)).vectors
    theirs = vectors.to_gensim()
    word = vectors.vocabulary.types[3]
    assert np.array_equal(theirs[word], vectors[word])
    assert theirs.get_vecattr(word, "count") == vectors.vocabulary.counts[3]


def test_bad_vectors_and_files(tmp_path, corpus):
    vocabulary = corpora.corpus_from_lines([["a", "b c"]], min_count=1).vocabulary
    with pytest.raises(ValueError, match="diverge"):
        WordVectors(vocabulary, np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="space"):
        WordVectors(vocabulary, np.zeros((2, 3))).save(tmp_path / "x")
    with pytest.raises(KeyError, match="not among"):
        WordVectors(vocabulary, np.zeros((2, 3)))["zebra"]
    for content, binary, message in [
        (b"nonsense\n", False, "first line"), (b"2 3\na 1 2 3\n", False, "2 lines"),
        (b"2 3\na \0\0", True, "cut off"),
    ]:
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            WordVectors.load(tmp_path / "bad", binary=binary)


def test_large_updates_grow_without_end_unless_damped():
    """One word in three is the same, 2,048 words an update: plain SGD runs away."""
    rng = np.random.default_rng(0)
    lines = [[f"w{i * (i < 200)}" for i in rng.integers(300, size=40)] for _ in range(1500)]
    settings, wide = Settings(dimension=8, epochs=4, rate=0.1, subsample=0), Shape(batch=64)
    damped = trainer.train(lines, settings, shape=wide)
    assert np.linalg.norm(damped.vectors.matrix, axis=1).max() < 10
    with pytest.raises(FloatingPointError, match="Shape.bound"):
        trainer.train(lines, settings, shape=Shape(batch=64, bound=float("inf")))


def test_a_short_text_is_not_one_update(corpus):
    run = trainer.Run(corpus, Settings(), Shape(batch=1000), torch.device("cpu"))
    assert len(list(trainer.batches(run, 0, 0))) >= trainer.FEWEST


def test_the_step_taught_is_the_library_s():
    from teaching import taught

    _, _, batch, tables = scene()
    cell = taught("03b_trainer", "skip_gram_step")
    band = blocks.bands(batch.line, batch.radius, N, blocks.band_table(b, w).double())
    moved = [tables.clone(), tables.clone()]
    weight = band.sum(2, keepdim=True) * K / M
    cell(*moved[0], batch, band, weight, 0.1)
    blocks.skip_gram_step(*moved[1], batch, band, weight, 0.1, float("inf"))
    torch.testing.assert_close(*moved, rtol=0, atol=1e-12)
    assert (moved[0] - tables).abs().max() > 0.1


def test_the_damping_taught_is_the_library_s():
    from teaching import taught

    cell = taught("03b_trainer", "damping")
    rng = torch.Generator().manual_seed(2)
    ids, steps = torch.randint(N, (31,), generator=rng), 9 * torch.rand(31, generator=rng)
    found = cell(N, ids, steps, 0.3, 2.0)
    assert torch.equal(found, blocks.damping(N, ids, steps, 0.3, 2.0))
    assert 0 < (found < 1).sum() < 31
