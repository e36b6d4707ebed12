"""What counts of word-pieces alone say about each label, to be mixed into what the network says.

A fine-tuned encoder and a linear classifier on TF-IDF err on different texts, so that the mean of their logits is better
than either, mostly even where the words alone are far worse.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize
from torch import nn

from ._batches import TextDataset
from ._initialisation import logistic_regressions
from ._tokens import RaggedTokens

_EXAMPLES_FOR_HALF = 20
_MOST_TOKENS_COUNTED = 2**22  # at once, or those of one text


class WordScores(nn.Module):
    """One logistic regression per label on the TF-IDF vector of a text, whose terms are word-pieces.

    V word-pieces, K labels. The vector has (1 + log count) idf for every word-piece that was seen in training, and is scaled
    to unit length. Nothing here is trained together with the network.

    Parameters
    ----------
    n_pieces : int
        V.
    n_labels : int
        K.
    """

    weight: torch.Tensor  # (V, K)
    bias: torch.Tensor  # (K,)
    idf: torch.Tensor  # (V,), 0 for special tokens and what was not seen
    share: torch.Tensor  # (K,), of these scores in the mixture

    def __init__(self, n_pieces: int, n_labels: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_pieces, n_labels))
        self.register_buffer("bias", torch.zeros(n_labels))
        self.register_buffer("idf", torch.zeros(n_pieces))
        self.register_buffer("share", torch.zeros(n_labels))

    def fit(self, data: TextDataset, share: float, random_state: np.random.RandomState) -> None:
        """Learn from texts.

        Parameters
        ----------
        data : TextDataset
            n texts with targets and weights.
        share : float
            The share of a label with many examples; one with few has less, and one that never or always applies has none.
        random_state : RandomState
            Draws the documents on which the regularisation is chosen.
        """
        rows = data.rows[data.sample_weight[data.rows] > 0]
        counts = _log_counts(data.tokens, rows, len(self.idf))
        occurs = (np.bincount(counts.indices, minlength=len(self.idf)) > 0) & ~_is_special(data.tokens, len(self.idf))
        if not occurs.any():
            self.share.zero_()
            return
        idf, seen = np.where(occurs, TfidfTransformer().fit(counts).idf_, 0), np.flatnonzero(occurs)
        targets, weights = data.targets[rows], data.sample_weight[rows]
        weight, bias = logistic_regressions(_features(counts, idf)[:, seen], targets, weights, random_state)
        self.weight.zero_()
        self.weight[torch.from_numpy(seen)] = torch.from_numpy(weight.T).to(self.weight)
        n_examples = np.asarray((targets == 1).sum(axis=0)).ravel()
        shares = share * n_examples / (n_examples + _EXAMPLES_FOR_HALF) * weight.any(axis=1)
        for buffer, values in ((self.bias, bias), (self.idf, idf), (self.share, shares)):
            buffer.copy_(torch.from_numpy(values))

    def mix(self, logits: np.ndarray, tokens: RaggedTokens, rows: np.ndarray) -> np.ndarray:
        """Return the mean of the network's logits (n, K) and these scores, weighted by ``share``, for some of the texts."""
        idf, weight, bias, share = (x.cpu().numpy() for x in (self.idf, self.weight, self.bias, self.share))
        scores = _features(_log_counts(tokens, rows, len(idf)), idf) @ weight
        scores += bias
        scores -= logits
        scores *= share
        scores += logits
        return scores

    def forward(self, logits: torch.Tensor, pieces: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Do the same in operations that every runtime has.

        ``pieces`` (B, P) are the word-pieces of each text, each of them once, and ``counts`` (B, P) how often the text has
        them, 0 for padding.
        """
        counts = counts.to(self.idf.dtype)
        features = (counts > 0) * (1 + counts.clamp(min=1).log()) * self.idf[pieces]  # (B, P)
        lengths = features.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)  # (B, 1)
        scores = torch.einsum("bp,bpk->bk", features / lengths, self.weight[pieces]) + self.bias
        return logits + self.share * (scores - logits)

    def add_labels(self, n: int) -> None:
        """Have no say on n more labels."""
        for name in ("weight", "bias", "share"):
            values = getattr(self, name)
            setattr(self, name, torch.cat([values, values.new_zeros(*values.shape[:-1], n)], dim=-1))


def _log_counts(tokens: RaggedTokens, rows: np.ndarray, n_pieces: int) -> sp.csr_array:
    """Return 1 + log count of every word-piece in each of some texts (n, V), also in what the network does not read."""
    n_tokens = tokens.lengths[rows] + (0 if tokens.cut is None else tokens.cut.lengths[rows])
    parts = np.split(rows, np.flatnonzero(np.diff(np.cumsum(n_tokens) // _MOST_TOKENS_COUNTED)) + 1)
    counts = sp.csr_array(sp.vstack([_counts_of_all(tokens, part, n_pieces) for part in parts]))
    counts.data = 1 + np.log(counts.data)
    return counts


def _counts_of_all(tokens: RaggedTokens, rows: np.ndarray, n_pieces: int) -> sp.csr_array:
    counts = _counts(tokens, rows, n_pieces)
    return counts if tokens.cut is None else counts + _counts(tokens.cut, rows, n_pieces)


def _counts(tokens: RaggedTokens, rows: np.ndarray, n_pieces: int) -> sp.csr_array:
    lengths = tokens.lengths[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - tokens.offsets[rows], lengths)
    counts = sp.csr_array((np.ones(len(places), dtype=np.float32), tokens.ids[places], offsets), shape=(len(rows), n_pieces))
    counts.sum_duplicates()
    return counts


def _is_special(tokens: RaggedTokens, n_pieces: int) -> np.ndarray:
    """Tell which word-pieces fill batches or stand around every text (V,)."""
    text = tokens.ids[: tokens.offsets[1]]
    special = np.zeros(n_pieces, dtype=bool)
    special[[tokens.pad_id, *text[: tokens.n_prefix], *text[len(text) - tokens.n_suffix :]]] = True
    return special


def _features(log_counts: sp.csr_array, idf: np.ndarray) -> sp.csr_array:
    """Return the TF-IDF vectors (n, V), of unit length."""
    return normalize(sp.csr_array(log_counts.multiply(idf.astype(np.float32))))
