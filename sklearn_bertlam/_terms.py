"""Pairs of word-pieces that stand side by side, as terms that are counted. Needs no torch, as ONNX files count them too."""

from __future__ import annotations

import numpy as np


def pairs_of(ids: np.ndarray, n_pieces: int) -> np.ndarray:
    """Return one number for each two neighbours (n - 1,) in the ids (n,) of word-pieces."""
    return ids[:-1].astype(np.int64) * n_pieces + ids[1:]


def frequent_pairs(pairs: np.ndarray, texts: np.ndarray, fewest_texts: int, most: int) -> np.ndarray:
    """Return the pairs that occur in enough of the texts, the most frequent ones if there are too many.

    Parameters
    ----------
    pairs : ndarray of shape (n,)
        As from ``pairs_of``.
    texts : ndarray of shape (n,)
        The number of the text that each of them is in.
    fewest_texts, most : int
        How many texts a pair has to be in, and how many pairs to return at most.

    Returns
    -------
    frequent : ndarray of int64, shape (P,)
        In ascending order.
    """
    order = np.lexsort((texts, pairs))
    pairs, texts = pairs[order], texts[order]
    is_first = np.ones(len(pairs), dtype=bool)
    is_first[1:] = (pairs[1:] != pairs[:-1]) | (texts[1:] != texts[:-1])
    distinct, n_texts = np.unique(pairs[is_first], return_counts=True)
    enough = np.flatnonzero(n_texts >= fewest_texts)
    chosen = enough[np.argsort(-n_texts[enough], kind="stable")[:most]]
    return distinct[np.sort(chosen)]


def places_of(pairs: np.ndarray, frequent: np.ndarray) -> np.ndarray:
    """Return the place (n,) of each pair among the frequent ones, -1 where it is none of them."""
    if len(frequent) == 0:
        return np.full(len(pairs), -1)
    places = np.minimum(np.searchsorted(frequent, pairs), len(frequent) - 1)
    return np.where(frequent[places] == pairs, places, -1)
