r"""One run of BERT's pre-training, by one process or by several.

Introduced in chapter 5. On top of `spans` and `mlm` this module adds the optimiser and its
schedule, mixed precision, evaluation, checkpoints, and data parallelism.

With W processes of B rows each, a step is one step on W B rows. Process k takes rows k,
k + W, ... of the common batch, and PyTorch's DistributedDataParallel averages the
gradients. For the average to be the gradient of the common mean, each process divides its
**sum** of nats by the number of chosen tokens of the *common* batch and multiplies by W:

.. math:: \frac1W \sum_{k=1}^W \nabla \Big(\frac{W}{n} \sum_{i \in k} \ell_i\Big)
          = \nabla \frac1n \sum_i \ell_i, \qquad n = \sum_k n_k .

Without dropout, W processes of B rows and one process of W B rows then differ by rounding
alone. Every random number comes from (seed, step), so a resumed run goes on as it would
have: on one machine, with the same number of processes and threads, bit by bit.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from . import mlm, spans
from .bert import BertConfig
from .masking import Masking
from .processes import PRECISIONS, Machine, PretrainingError

UNREADABLE = (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Settings:
    """How a model is trained; its sizes are in `BertConfig`."""

    steps: int = 2000  # updates
    batch: int = 32  # rows of each process
    rate: float = 3e-3  # highest learning rate of AdamW
    warm_up: int = 100  # updates of linear rise; then a cosine to zero
    chosen: float = 0.15  # share of tokens to predict, in training
    start: str = "neighbours"  # or "free", "plain": see mlm.Pretrainer
    clip: float = 1.0  # largest norm of the whole gradient
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise PretrainingError(f"{name}: expected at least 1, got {getattr(self, name)}.")
        if not (0 < self.chosen <= 1 and self.rate > 0 and self.clip > 0 and self.warm_up >= 0):
            raise PretrainingError(f"expected a share and positive rates, got {self}.")
        if self.start not in mlm.STARTS:
            raise PretrainingError(f"start: expected one of {mlm.STARTS}, got {self.start!r}.")

    def at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * 0.5 * (1 + math.cos(math.pi * done))


class Run:
    """A model, its optimiser and its place in the text: what a checkpoint holds.

    Parameters
    ----------
    corpus : spans.Corpus
    config : BertConfig
        `max_length` is T, the tokens of a row: 2n + 3 for spans of n.
    settings : Settings
    where : Machine
    """

    def __init__(
        self, corpus: spans.Corpus, config: BertConfig, settings: Settings, where: Machine
    ) -> None:
        self.corpus, self.config, self.settings, self.where = corpus, config, settings, where
        self.rows = settings.batch * where.world  # of a step
        self.read()
        g = spans.generator(settings.seed, spans.WEIGHTS)
        self.model = mlm.Pretrainer(config, settings.start).initialise(g).to(where.device)
        parallel = nn.parallel.DistributedDataParallel
        self.parallel = self.model if where.world == 1 else parallel(self.model)
        self.optimiser = torch.optim.AdamW(
            groups(self.model), lr=settings.rate, betas=(0.9, 0.98), fused=True
        )
        self.scaler = torch.amp.GradScaler(
            where.device.type, enabled=where.precision == "float16"
        )
        self.done, self.history, self.scores, self.seconds = 0, [], [], 0.0

    def read(self) -> None:
        """The batches of training, and the held-out rows with their fixed masks."""
        N, n = self.config.n_vocab, (self.config.max_length - 3) // 2
        if N != len(self.corpus.types):
            raise PretrainingError(
                f"n_vocab: expected {len(self.corpus.types)}, as the corpus has, got {N}."
            )
        tokenizer, s = self.corpus.tokenizer, self.settings
        specials = tokenizer.special_ids
        masking = Masking(N, specials[-1], specials, rate=s.chosen)
        published = Masking(N, specials[-1], specials)  # 15 %, whatever training has
        train, held_out = (
            spans.cut_spans(part, n) for part in (self.corpus.train, self.corpus.held_out)
        )
        try:
            self.batches = spans.Reader(train, tokenizer, masking, batch=self.rows, seed=s.seed)
            self.held_out = spans.Reader(held_out, tokenizer, published, batch=None, seed=0)(0)
        except ValueError as error:
            raise PretrainingError(f"text too short: {error}") from None

    def autocast(self):
        """Mixed precision: products in the short format, weights and sums in float32."""
        return torch.autocast(
            self.where.device.type, PRECISIONS[self.where.precision],
            enabled=self.where.precision != "float32",
        )

    def step(self) -> tuple[float, float]:
        """One update; the nats a chosen token and a pair of the common batch."""
        start, s, where = time.perf_counter(), self.settings, self.where
        common = self.batches(self.done)
        batch = common.part(where.rank, where.world).to(where.device)
        spread(s.seed, self.done, where.rank)
        self.model.train()
        with self.autocast():
            of_tokens, of_next, _ = mlm.nats(self.parallel, batch)
        n = max(1, common.chosen)
        loss = where.world * (of_tokens / n + of_next / self.rows)
        for group in self.optimiser.param_groups:
            group["lr"] = s.at(self.done)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), s.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        tokens, pairs = where.total(of_tokens.detach(), of_next.detach())
        self.history.append((tokens / n, pairs / self.rows))
        self.done += 1
        self.expect_finite()
        self.seconds += time.perf_counter() - start
        return self.history[-1]

    def expect_finite(self) -> None:
        """Refuse to go on from NaN."""
        if not all(map(math.isfinite, self.history[-1])):
            raise PretrainingError(
                f"step {self.done}: expected a finite loss, got {self.history[-1]}. The "
                f"rate {self.settings.rate} is too high: halve it, or warm up for longer."
            )

    def evaluate(self, rows: int | None = None) -> dict:
        """Held-out loss under fixed masks, and NSP's hits, without dropout.

        Parameters
        ----------
        rows : int, optional
            At most so many pairs, the first ones; all of them by default.
        """
        common = spans.Batch(*(x[:rows] for x in self.held_out))
        mine, sums = common.part(self.where.rank, self.where.world), [0.0] * 5
        self.model.eval()
        with torch.no_grad(), self.autocast():
            for i in range(0, len(mine.inputs), 64):
                batch = spans.Batch(*(x[i : i + 64] for x in mine))
                found = mlm.nats(self.model, batch.to(self.where.device))
                for k, x in enumerate((*found, batch.chosen, len(batch.inputs))):
                    sums[k] += float(x)
        tokens, pairs, hits, chosen, n = self.where.total(*sums)
        self.scores.append({
            "step": self.done, "mlm": tokens / max(1, chosen), "tokens": int(chosen),
            "nsp": pairs / n, "hits": int(hits), "pairs": int(n),
            "seconds": round(self.seconds, 2),
        })
        return self.scores[-1]

    def identity(self) -> dict:
        """What two runs must share for one to continue the other."""
        said = {**asdict(self.settings), **asdict(self.config)}
        del said["batch"]
        return {
            **said, "rows of a step": self.rows, "corpus": self.corpus.digest,
            "precision": self.where.precision,
        }

    def save(self, path: Path) -> None:
        """Write the checkpoint, by the first process; a kill in between leaves the old one."""
        if self.where.rank:
            return
        content = {
            "run": self.identity(), "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict(),
            "done": self.done, "history": self.history, "scores": self.scores,
            "seconds": self.seconds,
        }
        write(path, lambda part: torch.save(content, part))

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same run."""
        try:
            saved = torch.load(path, map_location=self.where.device, weights_only=True)
            known = saved["run"]
        except UNREADABLE as error:
            raise PretrainingError(
                f"{path}: expected a checkpoint, got a file that is none "
                f"({type(error).__name__}). Remove it, or choose another --out."
            ) from error
        wrong = [k for k, v in self.identity().items() if known.get(k) != v]
        if wrong:
            raise PretrainingError(
                f"{path}: expected a checkpoint of this run, but these differ: " + ", ".join(
                    f"{k} (saved {known.get(k)}, asked {self.identity()[k]})" for k in wrong
                ) + ". Repeat the options of the first call, or choose another --out."
            )
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.scaler.load_state_dict(saved["scaler"])
        self.done, self.seconds = saved["done"], saved["seconds"]
        self.history = [tuple(pair) for pair in saved["history"]]
        self.scores = saved["scores"]

    def record(self) -> dict:
        """The curve with what made it, for a results file."""
        return {
            "settings": asdict(self.settings), "config": asdict(self.config),
            "processes": self.where.world,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "train": [[round(x, 7) for x in pair] for pair in self.history],
            "held_out": self.scores, "seconds": round(self.seconds, 1),
            "machine": self.where.described(),
        }


def groups(model: nn.Module) -> list[dict]:
    """Weight decay for matrices; none for biases and norms."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def spread(seed: int, step: int, rank: int) -> None:
    """Seed dropout, which draws from torch's global generator, for one step."""
    torch.manual_seed(spans.generator(seed, spans.DROPOUT, step, rank).initial_seed())


def write(path: Path, by) -> None:
    """Let `by` write a file beside `path`, then move it there in one step."""
    part = path.with_name(path.name + ".part")
    by(part)
    os.replace(part, path)
