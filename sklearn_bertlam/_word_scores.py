"""What counts of word-pieces and of pairs of them alone say about each label, to be mixed into what the network says.

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
from ._terms import frequent_pairs, pairs_of, places_of
from ._tokens import RaggedTokens

_EXAMPLES_FOR_HALF = 20
_MOST_TOKENS_COUNTED = 2**22  # at once, or those of one text
_MOST_TOKENS_PAIRED = 2**24  # to find the frequent pairs
_FEWEST_TEXTS_WITH_PAIR = 3
_MOST_WEIGHTS_OF_PAIRS = 2**24


class WordScores(nn.Module):
    """One logistic regression per label on the TF-IDF vector of a text, whose terms are word-pieces and pairs of them.

    V word-pieces, P pairs of neighbours that at least three texts have, K labels. The vector has (1 + log count) idf for
    every term that was seen in training, and is scaled to unit length. Nothing here is trained together with the network.

    Parameters
    ----------
    n_pieces : int
        V.
    n_labels : int
        K.
    """

    pairs: torch.Tensor  # (P,), in ascending order
    weight: torch.Tensor  # (V + P, K)
    bias: torch.Tensor  # (K,)
    idf: torch.Tensor  # (V + P,), 0 for special tokens and what was not seen
    share: torch.Tensor  # (K,), of these scores in the mixture

    def __init__(self, n_pieces: int, n_labels: int):
        super().__init__()
        self.n_pieces = n_pieces
        self.register_buffer("pairs", torch.zeros(0, dtype=torch.int64))
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
        is_special = _is_special(data.tokens, self.n_pieces)
        pairs = _frequent_pairs(data.tokens, rows, is_special, _MOST_WEIGHTS_OF_PAIRS // len(self.share))
        self._make_room(len(pairs))
        self.pairs += torch.from_numpy(pairs).to(self.pairs)
        counts = _log_counts(data.tokens, rows, self.n_pieces, pairs)
        occurs = (np.bincount(counts.indices, minlength=len(self.idf)) > 0) & ~np.pad(is_special, (0, len(pairs)))
        if not occurs.any():
            self.share.zero_()
            return
        idf, seen = np.where(occurs, TfidfTransformer().fit(counts).idf_, 0), np.flatnonzero(occurs)
        targets, weights = data.targets[rows], data.sample_weight[rows]
        weight, bias = logistic_regressions(_features(counts, idf)[:, seen], targets, weights, random_state)
        self.weight[torch.from_numpy(seen)] = torch.from_numpy(weight.T).to(self.weight)
        n_examples = np.asarray((targets == 1).sum(axis=0)).ravel()
        shares = share * n_examples / (n_examples + _EXAMPLES_FOR_HALF) * weight.any(axis=1)
        for buffer, values in ((self.bias, bias), (self.idf, idf), (self.share, shares)):
            buffer.copy_(torch.from_numpy(values))

    def mix(self, logits: np.ndarray, tokens: RaggedTokens, rows: np.ndarray) -> np.ndarray:
        """Return the mean of the network's logits (n, K) and these scores, weighted by ``share``, for some of the texts."""
        buffers = (self.pairs, self.idf, self.weight, self.bias, self.share)
        pairs, idf, weight, bias, share = (x.cpu().numpy() for x in buffers)
        scores = _features(_log_counts(tokens, rows, self.n_pieces, pairs), idf) @ weight
        scores += bias
        scores -= logits
        scores *= share
        scores += logits
        return scores

    def forward(self, logits: torch.Tensor, terms: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Do the same in operations that every runtime has.

        ``terms`` (B, T) are the word-pieces of each text, and its pairs as V + their place among ``pairs``, each of them
        once, and ``counts`` (B, T) how often the text has them, 0 for padding.
        """
        counts = counts.to(self.idf.dtype)
        features = (counts > 0) * (1 + counts.clamp(min=1).log()) * self.idf[terms]  # (B, T)
        lengths = features.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)  # (B, 1)
        scores = torch.einsum("bt,btk->bk", features / lengths, self.weight[terms]) + self.bias
        return logits + self.share * (scores - logits)

    def add_labels(self, n: int) -> None:
        """Have no say on n more labels."""
        for name in ("weight", "bias", "share"):
            values = getattr(self, name)
            setattr(self, name, torch.cat([values, values.new_zeros(*values.shape[:-1], n)], dim=-1))

    def _make_room(self, n_pairs: int) -> None:
        n_terms = self.n_pieces + n_pairs
        self.pairs = self.pairs.new_zeros(n_pairs)
        self.weight = self.weight.new_zeros(n_terms, len(self.share))
        self.idf = self.idf.new_zeros(n_terms)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        self._make_room(len(state_dict.get(f"{prefix}pairs", ())))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _frequent_pairs(tokens: RaggedTokens, rows: np.ndarray, is_special: np.ndarray, most: int) -> np.ndarray:
    """Return the pairs of neighbours that are worth counting."""
    some = rows[np.cumsum(tokens.whole_lengths[rows]) <= _MOST_TOKENS_PAIRED]
    ids, offsets = tokens.whole(some)
    texts = np.repeat(np.arange(len(some)), np.diff(offsets))
    plain = ~is_special[ids]
    inside = np.flatnonzero((texts[1:] == texts[:-1]) & plain[1:] & plain[:-1])
    return frequent_pairs(pairs_of(ids, len(is_special))[inside], texts[inside], _FEWEST_TEXTS_WITH_PAIR, most)


def _log_counts(tokens: RaggedTokens, rows: np.ndarray, n_pieces: int, pairs: np.ndarray) -> sp.csr_array:
    """Return 1 + log count of every term in each of some texts (n, V + P), also in what the network does not read."""
    parts = np.split(rows, np.flatnonzero(np.diff(np.cumsum(tokens.whole_lengths[rows]) // _MOST_TOKENS_COUNTED)) + 1)
    counts = sp.csr_array(sp.vstack([_counts(tokens, part, n_pieces, pairs) for part in parts]))
    counts.data = 1 + np.log(counts.data)
    return counts


def _counts(tokens: RaggedTokens, rows: np.ndarray, n_pieces: int, pairs: np.ndarray) -> sp.csr_array:
    ids, offsets = tokens.whole(rows)
    texts = np.repeat(np.arange(len(rows)), np.diff(offsets))
    places = places_of(pairs_of(ids, n_pieces), pairs)
    known = np.flatnonzero((places >= 0) & (texts[1:] == texts[:-1]))
    terms = np.concatenate([ids, n_pieces + places[known]])
    shape = (len(rows), n_pieces + len(pairs))
    entries = np.ones(len(terms), dtype=np.float32), (np.concatenate([texts, texts[known]]), terms)
    return sp.coo_array(entries, shape=shape).tocsr()  # adds up


def _is_special(tokens: RaggedTokens, n_pieces: int) -> np.ndarray:
    """Tell which word-pieces fill batches or stand around every text (V,)."""
    text = tokens.ids[: tokens.offsets[1]]
    special = np.zeros(n_pieces, dtype=bool)
    special[[tokens.pad_id, *text[: tokens.n_prefix], *text[len(text) - tokens.n_suffix :]]] = True
    return special


def _features(log_counts: sp.csr_array, idf: np.ndarray) -> sp.csr_array:
    """Return the TF-IDF vectors (n, V + P), of unit length."""
    return normalize(sp.csr_array(log_counts.multiply(idf.astype(np.float32))))
