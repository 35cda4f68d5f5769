"""The opinions of three models that take minutes: small ELMo, MiniLM frozen, MiniLM fine-tuned.

    python benchmarks/opinions.py [--seconds 240]

Each learns from all training sentences of the critics and answers the questions of page 10:
the test sentences, the slide's sentence read up to each word, and 64 pairs of sentences that
differ in the order of two words. ``benchmarks/results/opinions.json`` keeps, run by run,
which test sentences were right and the probability of *fresh* for each question. Computes
what the file lacks; ``--seconds`` starts no further run after that long.

The small ELMo is that of page 05_elmo and the fine-tuning that of page 05f_finetuning, with
the same settings. Nothing is chosen on the test part.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from course_utils import bag, data, elmo, few_labels, finetuning  # noqa: E402
from course_utils import processes, runtime, sentiment  # noqa: E402
from course_utils.bert import Bert  # noqa: E402
from course_utils.precision import fast_precision  # noqa: E402
from course_utils.text import words  # noqa: E402
from course_utils.wordpiece import WordPiece  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "opinions.json"
SLIDE = "At first exciting but over sentimental"
DECAYS = (0.1, 0.03, 0.01, 0.001)  # of softmax regression on frozen states
HELD = 1000  # of the training sentences, to choose the decay


def questions() -> list[str]:
    """What is asked besides the test sentences."""
    prefixes = [" ".join(SLIDE.split()[:k]) for k in range(1, 7)]
    return (prefixes + sentiment.at_first(sentiment.PRAISE, sentiment.BLAME)
            + sentiment.at_first(sentiment.BLAME, sentiment.PRAISE))


def small_elmo(texts, labels, asked, seed: int) -> tuple[np.ndarray, int]:
    """Page 05_elmo: two language models, a mixture of their layers, one linear layer."""
    more = sorted({w for text in texts for w in words(text.lower())})
    source = elmo.running_text(more)
    runtime.seed_everything(seed)
    model = elmo.BiLM(source.table, source.vocabulary.counts, H=64)
    for _ in elmo.train(model, elmo.rows(source.ids, 12)[200:], updates=500, lr=0.008, B=32,
                        generator=runtime.generator(seed)):
        pass
    h, new = (sentence_means(model.eval(), source, some) for some in (texts, asked))
    centre, scale = h.mean(1, keepdim=True), h.std(1, keepdim=True)
    h, new = (h - centre) / scale, (new - centre) / scale
    p, learned = mixture(h, torch.as_tensor(labels).float(), new)
    return p, learned + sum(p.numel() for p in model.parameters())


@torch.no_grad()
def sentence_means(model, source, texts) -> torch.Tensor:
    """Mean over the words, each layer: (L + 1, M, 2D)."""
    rows = [source.vocabulary.encode(words(t.lower()), skip=True) or [0] for t in texts]
    found = []
    for i in range(0, len(rows), 256):
        ids, lengths = elmo.padded(rows[i : i + 256])
        found.append(model.states(ids, lengths).sum(2) / lengths[:, None])
    return torch.cat(found, 1)


def mixture(h, y, new, steps: int = 200) -> tuple[np.ndarray, int]:
    """Learn the mixture, its scale and a linear layer; p of new sentences."""
    w, gamma = torch.zeros(len(h), requires_grad=True), torch.ones((), requires_grad=True)
    V = torch.zeros(h.shape[-1] + 1, requires_grad=True)
    adam = torch.optim.Adam([w, gamma, V], lr=0.03, weight_decay=1e-3)
    for _ in range(steps):
        a = elmo.mix(h, w, gamma) @ V[1:] + V[0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(a, y)
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        p = torch.sigmoid(elmo.mix(new, w, gamma) @ V[1:] + V[0])
    return p.numpy(), len(w) + 1 + len(V)


def frozen(texts, labels, asked, seed: int) -> tuple[np.ndarray, int]:
    """Page 05f_finetuning: softmax regression on the mean of the last states."""
    precision = fast_precision("cpu")
    kept = finetuning.store(Bert.minilm(), WordPiece.minilm(), [*texts, *asked], cut=0,
                            precision=precision)
    Z, new = kept.features(texts), kept.features(asked)  # (M, D)
    centre = Z.mean(0)
    scale = np.sqrt(((Z - centre) ** 2).mean())
    Z, new = (Z - centre) / scale, (new - centre) / scale

    def right(decay):
        rule = bag.softmax_regression(Z[:-HELD], labels[:-HELD], 2, decay=decay)
        return (bag.predict(Z[-HELD:], *rule) == labels[-HELD:]).mean()

    W, b = bag.softmax_regression(Z, labels, 2, decay=max(DECAYS, key=right))
    return fresh(new @ W + b), W.size + b.size


def tuned(texts, labels, asked, seed: int) -> tuple[np.ndarray, int]:
    """Page 05f_finetuning: one reading of all training sentences, everything moves."""
    plan = finetuning.Plan(precision=fast_precision("cpu"))
    kept = finetuning.store(Bert.minilm(), WordPiece.minilm(), [*texts, *asked], cut=0,
                            summary=None)
    order = few_labels.labelled_order(labels, seed)
    model = finetuning.fine_tune(
        Bert.minilm(), kept, kept.rows([texts[m] for m in order]),
        torch.as_tensor(labels[order]), plan, cut=0, n_classes=2, seed=seed,
        summary=finetuning.largest)
    z = finetuning.vectors(model, kept, kept.rows(asked), precision=plan.precision)
    with torch.no_grad():
        scores = model.top(torch.from_numpy(z))
    return fresh(scores), sum(p.numel() for p in model.parameters())


def fresh(scores) -> np.ndarray:
    """p(fresh) of scores (M, 2)."""
    return torch.softmax(torch.as_tensor(scores), 1)[:, 1].numpy()


MODELS = {"small ELMo": (small_elmo, 3), "MiniLM, frozen": (frozen, 1),
          "MiniLM, fine-tuned": (tuned, 3)}  # and how many seeds


def run(model, seed: int) -> dict:
    """One model, trained and asked."""
    critics, start = data.critics(), time.perf_counter()
    asked = [*critics.test.texts, *questions()]
    p, parameters = model(critics.train.texts, critics.train.labels, asked, seed)
    right = (p[: len(critics.test)] > 0.5) == critics.test.labels
    machine = processes.Machine(torch.device("cpu"), fast_precision("cpu"))
    return {"right": "".join(str(int(r)) for r in right),
            "fresh": [round(float(x), 4) for x in p[len(critics.test) :]],
            "parameters": int(parameters),
            "seconds": round(time.perf_counter() - start, 1), **machine.described()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=float("inf"))
    limit = parser.parse_args().seconds
    content = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"runs": {}}
    start, runs = time.perf_counter(), content["runs"]
    for name, (model, seeds) in MODELS.items():
        for seed in range(seeds):
            key = f"{name}, {seed}"
            if key in runs or time.perf_counter() - start > limit:
                continue
            runs[key] = found = run(model, seed)
            print(f"{key}: {found['right'].count('1') / len(found['right']):.4f}, slide "
                  f"{200 * found['fresh'][5] - 100:+.0f}, {found['seconds']} s", flush=True)
            content = {"command": "python benchmarks/opinions.py", "questions": questions(),
                       "runs": runs}
            part = RESULTS.with_suffix(".part")
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            os.replace(part, RESULTS)


if __name__ == "__main__":
    main()
