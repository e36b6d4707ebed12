"""A classifier small enough to be fitted thousands of times, with what it learns from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

TEXTS = [
    "the printer is on fire",
    "my invoice is wrong",
    "the invoice for the printer is wrong",
    "thank you",
    "thank you for the printer",
    "fire and a wrong invoice",
    "the printer is wrong for you",
    "on the invoice is a printer",
]
LABELS = ["printer", "invoice", "thank"]
Y = np.array([[label in text for label in LABELS] for text in TEXTS], dtype=int)
PARAMETERS: dict[str, Any] = {"max_length": 32, "max_epochs": 2, "batch_size": 4, "random_state": 0, "device": "cpu"}


def make_encoder(folder: str | os.PathLike, texts: list[str] = TEXTS) -> str:
    """Write a random BERT with two layers of 32 units, which knows the words of the texts; return its folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.:-"
    words = sorted(set(" ".join(texts).split()))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{letter}" for letter in letters)]
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)), encoding="utf-8")
    tokenizer = BertTokenizerFast(str(path / "vocab.txt"))
    tokenizer.save_pretrained(path)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(path)
    return str(path)
