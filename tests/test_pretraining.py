"""The pre-training program: rows, heads, several processes, kills, and wrong input.

Tiny model, generated text. The program is run as a reader runs it, by `python -m` and by
torchrun, on a CPU.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
import torch
from scipy.stats import chisquare
from teaching import taught
from torch.nn import functional as F

from course_utils import mlm, pretraining, spans
from course_utils.bert import BertConfig
from course_utils.masking import IGNORED, Masking
from course_utils.pretraining_run import Run, Settings
from course_utils.processes import Machine, PretrainingError

TOLERANCE = 2e-5  # nats, between one process and two; rounding in float32 over 12 steps
CPU = Machine(torch.device("cpu"))
TINY = ["--layers", "1", "--dimension", "12", "--heads", "3", "--length", "11",
        "--n-vocab", "60", "--warm-up", "2", "--rate", "0.01", "--device", "cpu"]


def texts(n=40):
    """Documents of a language whose words come in a fixed order, from a random place."""
    g = torch.Generator().manual_seed(0)
    names = [a + b for a in "kmt" for b in ("ano", "eli", "uru", "ipo")]
    starts = torch.randint(len(names), (n,), generator=g).tolist()
    return [" ".join(names[(s + i) % len(names)] for i in range(60)) for s in starts]


@pytest.fixture(scope="module")
def corpus():
    return spans.prepare(texts(), n_vocab=60)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(texts()), "utf-8")
    return path


def config(corpus, **changes):
    return BertConfig(**{
        "n_vocab": len(corpus.types), "L": 1, "D": 12, "n_heads": 3, "D_ff": 48,
        "max_length": 11, "dropout": 0.0, **changes,
    })


def run(corpus, where=CPU, dropout=0.0, **settings):
    settings = {"steps": 12, "batch": 6, "warm_up": 2, "rate": 0.01, **settings}
    return Run(corpus, config(corpus, dropout=dropout), Settings(**settings), where)


def reader(corpus, **settings):
    tokenizer = corpus.tokenizer
    masking = Masking(len(corpus.types), tokenizer.special_ids[-1], tokenizer.special_ids)
    settings = {"batch": 7, "seed": 3, **settings}
    return spans.Reader(spans.cut_spans(corpus.train, 4), tokenizer, masking, **settings)


# ---- what page 05d teaches --------------------------------------------------------------


def test_the_page_and_the_library_are_one(corpus):
    corrupt, page_nats = taught("05d_pretraining", "corrupt", "nats")
    tokenizer, N = corpus.tokenizer, len(corpus.types)
    ids = torch.tensor([corpus.train[0][:50], corpus.train[1][:50]])
    ids[:, [0, 20, 49]] = torch.tensor(tokenizer.special_ids[2:])
    special, mask_id = torch.tensor(tokenizer.special_ids), tokenizer.special_ids[-1]
    for seed in range(5):
        one, two = (torch.Generator().manual_seed(seed) for _ in range(2))
        ours = corrupt(ids, special, N, mask_id, one)
        theirs = Masking(N, mask_id, tokenizer.special_ids)(ids, two)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    model = mlm.Pretrainer(config(corpus)).initialise(torch.Generator().manual_seed(0))
    batch = reader(corpus)(0)
    with torch.no_grad():
        assert [x.item() for x in page_nats(model, batch)] == [
            x.item() for x in mlm.nats(model, batch)]


# ---- rows -------------------------------------------------------------------------------


def test_held_out_are_whole_documents_and_the_vocabulary_has_never_seen_them():
    documents = texts(20)
    documents[9] = documents[19] = "zzz zzz zzz zzz"
    made = spans.prepare(documents, n_vocab=60)
    assert len(made.train) == 18 and len(made.held_out) == 2
    assert not any("z" in piece for piece in made.types)
    unknown = made.types.index("[UNK]")
    assert set(made.held_out[0]) == {unknown}
    assert not any(unknown in d for d in made.train)


def test_encoding_is_the_tokenizers(corpus):
    words = texts()[0]
    assert corpus.train[0] == corpus.tokenizer.vocabulary.encode(corpus.tokenizer.tokenize(words))


def test_a_row_is_cls_span_sep_span_sep(corpus):
    read = reader(corpus)
    _pad, _unk, cls, sep, mask = corpus.tokenizer.special_ids
    batch = read(0)
    ids = torch.where(batch.labels != IGNORED, batch.labels, batch.inputs)
    assert ids.shape == (7, 11) and batch.segments.tolist() == [[0] * 6 + [1] * 5] * 7
    assert (ids[:, 0] == cls).all() and (ids[:, [5, 10]] == sep).all()
    lines = {tuple(s.tolist()): k for k, s in enumerate(read.spans.ids)}
    for row in ids.tolist():
        assert tuple(row[1:5]) in lines and tuple(row[6:10]) in lines


def test_half_the_pairs_are_neighbours_of_one_document(corpus):
    read, true = reader(corpus), []
    document = read.spans.document
    for epoch in range(3):
        places, is_next = read.pairs(epoch)
        first, second = places.T
        same = document[first] == document[second]
        assert torch.equal(same, is_next.bool())
        assert (second - first)[same].eq(1).all()
        true.append(int(is_next.sum()))
    n = 3 * len(is_next)
    assert chisquare([sum(true), n - sum(true)]).pvalue > 1e-4
    assert len({tuple(read.pairs(e)[0].flatten().tolist()) for e in range(3)}) == 3


def test_batches_depend_on_the_step_alone(corpus):
    one, two = reader(corpus), reader(corpus)
    later = one.batches + 1
    [one(i) for i in range(later)]
    assert all(torch.equal(a, b) for a, b in zip(one(later), two(later)))
    assert not torch.equal(one(0).inputs, one(1).inputs)
    assert not torch.equal(one(0).inputs, reader(corpus, seed=4)(0).inputs)


def test_an_epoch_reads_every_pair_once_at_most(corpus):
    read = reader(corpus)
    first = read.pairs(0)[0][:, 0]
    assert len(first.unique()) == len(first)
    assert read.batches == len(first) // 7


def test_parts_are_the_whole(corpus):
    batch = reader(corpus)(0)
    parts = [batch.part(k, 3) for k in range(3)]
    assert sum(p.chosen for p in parts) == batch.chosen
    assert [len(p.inputs) for p in parts] == [3, 2, 2]
    assert torch.equal(parts[1].inputs[1], batch.inputs[4])


# ---- heads ------------------------------------------------------------------------------


def test_distance_bias_by_hand():
    bias = mlm.DistanceBias(5, reach=2).look(4.0)(4)
    assert bias.shape == (5, 4, 4)
    for a, step in enumerate((-1, 1, -2, 2, -1)):
        for t in range(4):
            for s in range(4):
                d = max(-2, min(2, s - t))
                assert bias[a, t, s] == (4.0 if d == step else 0.0)


def test_the_start_at_the_neighbours_looks_at_the_neighbours(corpus):
    model = mlm.Pretrainer(config(corpus)).initialise(torch.Generator().manual_seed(0))
    batch = reader(corpus)(0)
    block = model.bert.encoder.blocks[0]
    x = model.bert.embed(batch.inputs, batch.segments)
    A = block.attend.weights(x, bias=model.distance(11))  # (B, A, T, T)
    share = torch.exp(torch.tensor(4.0)) / (torch.exp(torch.tensor(4.0)) + 10)
    assert (A[:, 0, 5, 4].mean() - share).abs() < 0.05
    assert (A[:, 1, 5, 6].mean() - share).abs() < 0.05


def test_loss_by_hand_and_only_chosen_tokens_count(corpus):
    model = mlm.Pretrainer(config(corpus)).initialise(torch.Generator().manual_seed(0)).eval()
    batch = reader(corpus)(0)
    with torch.no_grad():
        tokens, follows, hits = mlm.nats(model, batch)
        scores = model.tokens(model.vectors(batch.inputs, batch.segments))  # (B, T, N)
    chosen = batch.labels != IGNORED
    by_hand = -scores.log_softmax(-1)[chosen].gather(1, batch.labels[chosen][:, None]).sum()
    torch.testing.assert_close(tokens, by_hand, rtol=1e-6, atol=0)
    assert 0 <= int(hits) <= 7 and follows > 0


def test_the_head_is_tied_and_every_parameter_learns(corpus):
    model = mlm.Pretrainer(config(corpus)).initialise(torch.Generator().manual_seed(0))
    tokens, follows, _ = mlm.nats(model, reader(corpus)(0))
    (tokens + follows).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # keys have no say through their bias: it shifts all scores of a query alike
    assert all(name.endswith("W_K.bias") for name in still)
    names = [n for n, p in model.named_parameters() if p.shape == model.bert.token.weight.shape]
    assert names == ["bert.token.weight"]


# ---- one process ------------------------------------------------------------------------


def test_it_learns_and_knows_the_baselines(corpus):
    r = run(corpus, steps=150, batch=16, rate=0.02)
    [r.step() for _ in range(150)]
    found = r.evaluate()
    ids = torch.tensor([i for d in corpus.train for i in d])
    share = torch.bincount(ids, minlength=len(corpus.types)) / len(ids)
    labels = r.held_out.labels[r.held_out.labels != IGNORED]
    unigram = -share[labels].log().mean().item()
    assert found["mlm"] < 0.85 * unigram < unigram < torch.tensor(float(len(share))).log()
    assert found["tokens"] == len(labels) and found["pairs"] == len(r.held_out.inputs)


def test_the_schedule():
    s = Settings(steps=100, warm_up=10, rate=1.0)
    assert s.at(0) == pytest.approx(0.1) and s.at(9) == 1.0 and s.at(10) == 1.0
    assert s.at(55) == pytest.approx(0.5) and s.at(99) < 0.001


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_checkpoint_goes_on_bit_by_bit(corpus, tmp_path, dropout):
    whole = run(corpus, dropout=dropout)
    [whole.step() for _ in range(12)]
    first = run(corpus, dropout=dropout)
    [first.step() for _ in range(5)]
    first.evaluate()
    first.save(tmp_path / "c.pt")
    torch.manual_seed(99)
    second = run(corpus, dropout=dropout)
    second.load(tmp_path / "c.pt")
    [second.step() for _ in range(7)]
    assert second.history == whole.history and len(second.scores) == 1
    for a, b in zip(second.model.parameters(), whole.model.parameters()):
        assert torch.equal(a, b)


def test_evaluation_changes_nothing(corpus):
    one, two = run(corpus, dropout=0.3), run(corpus, dropout=0.3)
    for _ in range(4):
        one.step(), two.step()
        assert one.evaluate()["mlm"] == one.evaluate()["mlm"]
    assert one.history == two.history


def test_mixed_precision_is_in_force_and_close(corpus):
    short = run(corpus, CPU._replace(precision="bfloat16"))
    with short.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    full = run(corpus)
    losses = [(short.step()[0], full.step()[0]) for _ in range(5)]
    gaps = [abs(a - b) for a, b in losses]
    assert 0 < max(gaps) < 0.05
    assert all(p.dtype == torch.float32 for p in short.model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_one_gpu_follows_the_cpu(corpus, precision):
    on_gpu = run(corpus, Machine(torch.device("cuda"), precision))
    on_cpu = run(corpus)
    gaps = [abs(on_gpu.step()[0] - on_cpu.step()[0]) for _ in range(12)]
    assert max(gaps) < 0.1


# ---- several processes ------------------------------------------------------------------


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def torchrun(*arguments, processes):
    """The program by several processes, as a reader calls it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--master-port", port,
               "--nproc-per-node", str(processes), "-m", "course_utils.pretraining"]
    done = subprocess.run([*command, *map(str, arguments)], env=environment(),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def call():
    """The program in this process, with one thread, as the others have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda *arguments: pretraining.main([*map(str, arguments)])
    torch.set_num_threads(threads)


def curve(folder):
    return json.loads((folder / "curve.json").read_text("utf-8"))


def gap(one, two):
    """Largest difference of two curves: of training, and of the held-out scores."""
    assert len(one["train"]) == len(two["train"]) > 0
    training = max(abs(a - b) for x, y in zip(one["train"], two["train"]) for a, b in zip(x, y))
    held_out = max(abs(a["mlm"] - b["mlm"]) for a, b in zip(one["held_out"], two["held_out"]))
    assert [s["hits"] for s in one["held_out"]] == [s["hits"] for s in two["held_out"]]
    return max(training, held_out)


def test_two_processes_are_one_with_the_doubled_batch(text, tmp_path, call):
    common = [text, *TINY, "--steps", 12, "--every", 4]
    assert call(*common, "--batch", 10, "--out", tmp_path / "one") == 0
    torchrun(*common, "--batch", 5, "--out", tmp_path / "two", processes=2)
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert (one["processes"], two["processes"]) == (1, 2)
    assert gap(one, two) < TOLERANCE
    other = {**one, "train": one["train"][1:] + one["train"][:1]}
    assert gap(other, two) > 100 * TOLERANCE  # the comparison can fail


def test_a_mean_of_means_would_be_seen(corpus):
    """The planted mistake: each process divides by its own number of chosen tokens."""
    r = run(corpus, batch=10)
    batch = r.batches(0)
    whole, parts = gradient(r, batch, batch.chosen), []
    for k in range(2):
        part = batch.part(k, 2)
        parts.append((gradient(r, part, batch.chosen / 2), gradient(r, part, part.chosen)))
    assert batch.part(0, 2).chosen != batch.part(1, 2).chosen
    right, wrong = (torch.stack(g).mean(0) for g in zip(*parts))
    assert (right - whole).abs().max() < 1e-6
    assert (wrong - whole).abs().max() > 1e-3


def gradient(r, batch, n):
    """Of the sum of nats over n, by the token table."""
    r.model.zero_grad()
    (mlm.nats(r.model, batch)[0] / n).backward()
    return r.model.bert.token.weight.grad.clone()


# ---- kills ------------------------------------------------------------------------------


def test_killed_and_resumed_gives_the_same_losses(text, tmp_path, call, capsys):
    """SIGKILL in the middle; the checkpoint is whole, and the curve as if nothing had been."""
    common = [text, *TINY, "--steps", 120, "--batch", 5, "--every", 10, "--dropout", 0.1]
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "course_utils.pretraining", *common, "--out", folder]
    process = subprocess.Popen([*map(str, command)], env=environment(),
                               stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = torch.load(folder / "checkpoint.pt", weights_only=True)["done"]
    assert 0 < before < 120
    assert call(*common, "--out", folder, "--resume") == 0
    assert f"resumed after step {before}" in capsys.readouterr().out
    assert call(*common, "--out", tmp_path / "whole") == 0
    one, two = curve(folder), curve(tmp_path / "whole")
    assert one["train"] == two["train"] and len(one["train"]) == 120
    drop = [{k: v for k, v in s.items() if k != "seconds"} for s in one["held_out"]]
    assert drop == [{k: v for k, v in s.items() if k != "seconds"} for s in two["held_out"]]


def test_a_kill_while_writing_leaves_the_old_checkpoint(corpus, tmp_path, monkeypatch):
    r, path = run(corpus), tmp_path / "c.pt"
    r.step()
    r.save(path)
    r.step()

    def half(content, part):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        r.save(path)
    again = run(corpus)
    again.load(path)
    assert again.done == 1


# ---- wrong input ------------------------------------------------------------------------


def refused(capsys, *arguments):
    """The message of a call that is refused: no traceback, exit status 2."""
    try:
        status = pretraining.main([*map(str, arguments)])
    except SystemExit as end:  # argparse
        status = end.code
    assert status == 2
    return capsys.readouterr().err


def test_messages(text, tmp_path, capsys):
    out = ["--out", tmp_path / "o"]
    empty, broken = tmp_path / "empty.txt", tmp_path / "broken.txt"
    empty.write_text(" \n\n")
    broken.write_bytes(b"\xff\xfe\xfa")
    few = tmp_path / "few.txt"
    few.write_text("one document\nonly")
    for arguments, message in (
        ([], "expected files, or --sample"),
        ([empty], "got an empty file"),
        ([broken], "expected UTF-8"),
        ([tmp_path / "none.txt"], "expected a text file"),
        ([few], "expected at least 10, so that one can be held out, got 1"),
        ([text, "--colour", "red"], "unrecognized arguments: --colour red"),
        ([text, "--start", "left"], "invalid choice: 'left'"),
        ([text, "--steps", "0"], "steps: expected at least 1, got 0"),
        ([text, "--rate", "-1"], "expected a share and positive rates"),
        ([text, "--every", "0"], "every: expected at least 1"),
        ([text, "--length", "12"], "expected an odd number from 5, got 12"),
        ([text, "--dimension", "13"], "multiple of 3 heads, got 13"),
        ([text, "--batch", "100000"], "Take more text, or a smaller batch"),
        ([text, "--n-vocab", "3"], "size: expected at least"),
        ([text, "--device", "cpu", "--precision", "float16"], "float16 on a GPU only"),
        ([text, "--device", "tpu"], "expected cpu or cuda, got 'tpu'"),
        ([text, "--resume"], "nothing to resume"),
    ):
        given = [arguments[0], *out, *TINY, *arguments[1:]] if arguments else [*out, *TINY]
        found = refused(capsys, *given)
        assert message in found and "Traceback" not in found, found


def test_a_checkpoint_of_another_run_is_refused(corpus, tmp_path):
    path = tmp_path / "c.pt"
    r = run(corpus)
    r.step()
    r.save(path)
    for other, what in (
        (run(corpus, rate=0.02), "rate (saved 0.01, asked 0.02)"),
        (run(corpus, batch=7), "rows of a step (saved 6, asked 7)"),
        (run(corpus, dropout=0.2), "dropout"),
        (run(replace(corpus, digest="another")), "corpus"),
        (run(corpus, CPU._replace(precision="bfloat16")), "precision"),
    ):
        with pytest.raises(PretrainingError, match="these differ") as error:
            other.load(path)
        assert what in str(error.value)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(PretrainingError, match="expected a checkpoint"):
        r.load(path)


def test_a_run_does_not_overwrite_another(text, tmp_path, capsys):
    common = [text, *TINY, "--steps", 1, "--batch", 2, "--out", tmp_path]
    assert pretraining.main([*map(str, common)]) == 0
    assert "a checkpoint is there" in refused(capsys, *common)
    assert "these differ: steps" in refused(capsys, *common[:-4], "--steps", 2, *common[-4:],
                                            "--resume", "--steps", 2)


def test_a_diverging_run_says_so(corpus):
    r = run(corpus, rate=1e30, clip=1e30)
    with pytest.raises(PretrainingError, match="too high"):
        [r.step() for _ in range(12)]


def test_the_prepared_text_is_used_again_only_if_it_is_the_same(text, tmp_path, capsys):
    options = pretraining.parser().parse_args([str(text), "--out", str(tmp_path), *TINY])
    first = pretraining.corpus_of(options, CPU)
    assert "preparing" in capsys.readouterr().out
    assert pretraining.corpus_of(options, CPU) == first
    assert "preparing" not in capsys.readouterr().out
    options.n_vocab = 34
    assert len(pretraining.corpus_of(options, CPU).types) == 34
    assert (tmp_path / "vocabulary.txt").read_text().split("\n")[0] == "[PAD]"
    (tmp_path / "corpus.pt").write_bytes(b"")
    with pytest.raises(PretrainingError, match="Remove the file"):
        pretraining.corpus_of(options, CPU)


def test_help_says_how(capsys):
    with pytest.raises(SystemExit):
        pretraining.main(["--help"])
    said = capsys.readouterr().out
    assert "torchrun --nproc-per-node 2" in said and "--resume" in said
    assert set(asdict(Settings())) <= {x.strip("-").replace("-", "_") for x in said.split()
                                       if x.startswith("--")} | {"seed"}
