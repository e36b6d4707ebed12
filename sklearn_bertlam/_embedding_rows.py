"""Training only those rows of the embedding table whose word-pieces occur.

The others would get gradients of zero. Yet they cost: the table is half of a small BERT and four fifths of a multilingual
one, and every update fills its gradient with zeros, measures it, and moves it through the optimizer with two moments per
weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ._batches import TextDataset
from ._text_module import TextModule
from ._tokens import RaggedTokens

_WORTH_IT = 0.9  # of the rows in use, at most


class RowsInUse(nn.Embedding):
    """Some rows of an embedding table, to be trained in its place.

    The table itself is kept as a buffer, so that the state of a training holds all of it.

    Parameters
    ----------
    table : Embedding
        The table; the first rows in use are those up to its ``padding_idx``.
    rows : ndarray of int
        The rows in use, in ascending order.
    """

    whole: torch.Tensor

    def __init__(self, table: nn.Embedding, rows: np.ndarray):
        weight = table.weight.data[torch.from_numpy(rows).to(table.weight.device)]
        super().__init__(len(rows), table.embedding_dim, padding_idx=table.padding_idx, _weight=weight)
        self.rows = rows
        self.register_buffer("whole", table.weight.data)

    def written_back(self) -> torch.Tensor:
        """Return the table with the trained rows, on the device that they were trained on."""
        self.whole[torch.from_numpy(self.rows).to(self.whole.device)] = self.weight.data
        return self.whole

    def renumber(self, tokens: RaggedTokens) -> RaggedTokens:
        """Return tokens whose ids count the rows in use."""
        numbers = np.zeros(len(self.whole), dtype=np.int32)
        numbers[self.rows] = np.arange(len(self.rows))
        return replace(tokens, ids=numbers[tokens.ids], cut=None)


@contextmanager
def only_rows_in_use(module: TextModule, data: TextDataset, validation: TextDataset | None) -> Iterator[tuple]:
    """Inside the block, the module's encoder has and trains only the rows that texts and labels use.

    Yields
    ------
    data, validation : TextDataset
        The texts as the module reads them inside the block.
    """
    table = _trained_table(module)
    label_tokens = module.label_tokens
    rows = None if table is None else _rows_in_use(table, [data.tokens] + ([label_tokens] if label_tokens else []))
    if rows is None or len(rows) > _WORTH_IT * len(table.weight):
        yield data, validation
        return
    some = RowsInUse(table, rows)
    tokens = some.renumber(data.tokens)
    module.encoder.set_input_embeddings(some)
    if label_tokens is not None:
        module.label_tokens = some.renumber(label_tokens)
    try:
        yield data.with_tokens(tokens), None if validation is None else validation.with_tokens(tokens)
    finally:
        table.weight.data = some.written_back()
        module.encoder.set_input_embeddings(table)
        if label_tokens is not None:
            module.label_tokens = label_tokens


def _trained_table(module: TextModule) -> Any:
    if module.encoder is None or module.encoder.config.is_encoder_decoder:
        return None
    table = module.encoder.get_input_embeddings()
    return table if type(table) is nn.Embedding and table.weight.requires_grad else None


def _rows_in_use(table: nn.Embedding, collections: list[RaggedTokens]) -> np.ndarray:
    in_use = np.zeros(len(table.weight), dtype=bool)
    in_use[: max(collections[0].pad_id, table.padding_idx or 0) + 1] = True  # encoders know padding by its number
    for tokens in collections:
        in_use[tokens.ids] = True
    return np.flatnonzero(in_use)
