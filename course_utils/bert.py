"""BERT's encoder, and the real weights of all-MiniLM-L6-v2 in it.

Introduced in chapter 5. On top of `transformer` this module adds the three embeddings of
the input, ragged batches, and the loading of published weights. Heads for masked words,
sentences or classes are put on top by who needs them. The letters are those of
`transformer`: L layers, A heads, D dimensions (BERT's paper says H).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import attention as att
from .transformer import Encoder


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder; the defaults are those of MiniLM, 6 layers."""

    n_vocab: int = 30_522  # types of the WordPiece vocabulary
    L: int = 6  # layers
    D: int = 384  # dimensions of a token's vector
    n_heads: int = 12  # heads a layer; D is a multiple
    D_ff: int = 1536  # hidden units of the position-wise network
    max_length: int = 512  # rows of the position table, in tokens
    dropout: float = 0.1  # share of units dropped in training
    pre_norm: bool = False  # BERT is post-norm


class Bert(nn.Module):
    """BERT's encoder: three embeddings, summed and normalised, then L blocks.

    Devlin et al. (2019), figure 2. `forward` gives one vector a token; heads for masked
    words, sentences or classes are put on top by the caller.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config, D = config, config.D
        self.token = nn.Embedding(config.n_vocab, D)
        self.segment = nn.Embedding(2, D)
        self.position = nn.Embedding(config.max_length, D)
        self.norm, self.drop = nn.LayerNorm(D, eps=1e-12), nn.Dropout(config.dropout)
        self.encoder = Encoder(
            config.L, D, config.n_heads, config.D_ff, pre_norm=config.pre_norm,
            dropout=config.dropout, eps=1e-12,
        )

    def initialise(self, generator: torch.Generator) -> Bert:
        """BERT's start: weights normal with deviation 0.02, biases 0, gains 1."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        return self

    def embed(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Token + segment + position, normalised: (B, T) integers to (B, T, D)."""
        B, T = ids.shape
        if T > self.config.max_length:
            raise ValueError(
                f"ids: expected at most {self.config.max_length} tokens, got {T}. There "
                "is no learned position beyond; cut the text."
            )
        segments = torch.zeros_like(ids) if segments is None else segments
        places = torch.arange(T, device=ids.device)
        x = self.token(ids) + self.segment(segments) + self.position(places)  # (B, T, D)
        return self.drop(self.norm(x))

    def forward(
        self, ids: Tensor, segments: Tensor | None = None, *,
        real: Tensor | None = None, bias: Tensor | None = None,
    ) -> Tensor:
        """One vector a token, (B, T, D).

        Parameters
        ----------
        ids, segments : Tensor of int, (B, T)
            Tokens, and 0 or 1 for sentence A or B (all 0 if not given).
        real : Tensor of bool, (B, T), optional
            True on tokens, False on padding; no one looks at padding.
        bias : Tensor, optional
            Added to the attention scores of every layer, broadcastable to (B, A, T, T).
        """
        mask = None if real is None else att.over_keys(real)
        return self.encoder(self.embed(ids, segments), mask, bias)

    def maps(
        self, ids: Tensor, segments: Tensor | None = None, *, real: Tensor | None = None
    ) -> Tensor:
        """The attention weights of every layer, without dropout: (L, B, A, T, T)."""
        mask = None if real is None else att.over_keys(real)
        states = self.encoder.states(self.embed(ids, segments), mask)
        found = []
        for block, x in zip(self.encoder.blocks, states):
            found.append(block.attend.weights(
                block.norm_1(x) if block.pre_norm else x, mask=mask
            ))
        return torch.stack(found)

    @classmethod
    def minilm(cls) -> Bert:
        """all-MiniLM-L6-v2 with its real weights, in evaluation mode."""
        from safetensors.torch import load_file

        from . import data

        files = data.minilm_files()
        said = json.loads(files["config.json"].read_text("utf-8"))
        config = BertConfig(
            n_vocab=said["vocab_size"], L=said["num_hidden_layers"],
            D=said["hidden_size"], n_heads=said["num_attention_heads"],
            D_ff=said["intermediate_size"], max_length=said["max_position_embeddings"],
            dropout=said["hidden_dropout_prob"],
        )
        bert = cls(config)
        bert.load_state_dict(renamed(load_file(files["model.safetensors"]), config.L))
        return bert.eval()


# Our name of each part, and the name it has in published files of BERT weights.
OUTSIDE = {
    "token": "embeddings.word_embeddings", "segment": "embeddings.token_type_embeddings",
    "position": "embeddings.position_embeddings", "norm": "embeddings.LayerNorm",
}
INSIDE = {
    "attend.W_Q": "attention.self.query", "attend.W_K": "attention.self.key",
    "attend.W_V": "attention.self.value", "attend.W_O": "attention.output.dense",
    "norm_1": "attention.output.LayerNorm", "W_1": "intermediate.dense",
    "W_2": "output.dense", "norm_2": "output.LayerNorm",
}
NOT_OURS = ("pooler.", "embeddings.position_ids")


def renamed(published: dict[str, Tensor], L: int) -> dict[str, Tensor]:
    """Published BERT weights under our names; every tensor must find its place."""
    names = dict(OUTSIDE)
    for layer in range(L):
        for ours, theirs in INSIDE.items():
            names[f"encoder.blocks.{layer}.{ours}"] = f"encoder.layer.{layer}.{theirs}"
    back = {theirs: ours for ours, theirs in names.items()}
    found = {}
    for name, tensor in published.items():
        part, _, kind = name.rpartition(".")
        if part in back:
            found[f"{back[part]}.{kind}"] = tensor
        elif not name.startswith(NOT_OURS):
            raise KeyError(f"{name}: expected a part of BERT's encoder, got another one.")
    return found


def batch(rows: Sequence[Sequence[int]], *, pad: int = 0) -> tuple[Tensor, Tensor]:
    """Ragged rows of integers as (B, T), padded right, and what is real, (B, T).

    >>> ids, real = batch([[7], [8, 9]])
    >>> ids.tolist(), real.int().tolist()
    ([[7, 0], [8, 9]], [[1, 0], [1, 1]])
    """
    real = att.real_positions([len(row) for row in rows])
    ids = torch.full(real.shape, pad)
    ids[real] = torch.tensor([i for row in rows for i in row])
    return ids, real


def average(h: Tensor, real: Tensor) -> Tensor:
    """The mean over real tokens: (B, T, D) and (B, T) to (B, D)."""
    share = real.to(h.dtype)[..., None]  # (B, T, 1)
    return (h * share).sum(1) / share.sum(1)
