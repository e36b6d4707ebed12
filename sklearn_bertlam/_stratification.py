"""Iterative stratification: parts of a multi-label data set in which every label has its share.

The rarest label that still has documents goes first, because it is the hardest to share out; its documents go where
they are missed most [1]_. Unlike the original, a label's documents are shared out in one step, so that the time
depends on the number of labels more than on that of documents, and parts have exactly the size that they should have.

References
----------
.. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
.. [2] P. Szymanski, T. Kajdanowicz, "A network perspective on stratification of multi-label data", LIDTA 2017.
"""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse as sp


def stratify(
    targets: sp.csr_array, sizes: np.ndarray, random_state: np.random.RandomState | None = None, order: int = 1
) -> np.ndarray:
    """Share out documents.

    Parameters
    ----------
    targets : csr_array of shape (n, K)
        Every stored entry is a label of a document.
    sizes : ndarray of int, shape (n_parts,)
        Documents in each part; they sum to n.
    random_state : RandomState or None, default=None
        Chooses between documents with the same labels; None takes them in their order.
    order : {1, 2}, default=1
        With 2, pairs of labels have their share as well [2]_.

    Returns
    -------
    parts : ndarray of int, shape (n,)
        The part of each document.
    """
    if order == 2:
        targets = sp.csr_array(sp.hstack([label_pairs(targets), targets]))
    sharing = _Sharing(targets, sizes, random_state)
    for label in sharing.from_rarest():
        sharing.share_out(label)
    return sharing.finished()


def label_pairs(targets: sp.csr_array) -> sp.csr_array:
    """Return an indicator (n, n_pairs) of the pairs of labels that some document has."""
    n, n_labels = targets.shape
    rows = np.repeat(np.arange(n), np.diff(targets.indptr))
    pairs, pair_rows = [], []
    for gap in range(1, int(np.diff(targets.indptr).max(initial=0))):
        same = rows[:-gap] == rows[gap:]
        first, second = targets.indices[:-gap][same].astype(np.int64), targets.indices[gap:][same].astype(np.int64)
        pairs.append(np.minimum(first, second) * n_labels + np.maximum(first, second))
        pair_rows.append(rows[gap:][same])
    if not pairs:
        return sp.csr_array((n, 0))
    known, columns = np.unique(np.concatenate(pairs), return_inverse=True)
    marks = np.ones(len(columns), dtype=np.float32)
    return sp.csr_array((marks, (np.concatenate(pair_rows), columns)), shape=(n, len(known)))


class _Sharing:
    """Which document is where, and how much each part still wants of each label."""

    def __init__(self, targets: sp.csr_array, sizes: np.ndarray, random_state: np.random.RandomState | None):
        self.rows, self.columns = targets, targets.tocsc()
        self.remaining = np.diff(self.columns.indptr).astype(np.int64)  # documents of each label not yet shared out
        self.capacity = np.asarray(sizes, dtype=np.int64).copy()
        self.wanted = np.outer(self.capacity / max(1, self.capacity.sum()), self.remaining)  # (n_parts, K)
        self.part = np.full(targets.shape[0], -1)
        self.random_state = random_state

    def from_rarest(self):
        """Yield labels with remaining documents, each time the one with the fewest."""
        queue = [(count, label) for label, count in enumerate(self.remaining.tolist()) if count]
        heapq.heapify(queue)
        while queue:
            count, label = heapq.heappop(queue)
            if count == self.remaining[label]:
                yield label
            elif self.remaining[label]:
                heapq.heappush(queue, (int(self.remaining[label]), label))

    def share_out(self, label: int) -> None:
        """Give every remaining document of a label to a part."""
        documents = self.columns.indices[self.columns.indptr[label] : self.columns.indptr[label + 1]]
        documents = self._shuffled(documents[self.part[documents] < 0])
        counts = self._apportion(self.wanted[:, label], len(documents))
        parts = np.repeat(np.arange(len(counts)), counts)
        self.part[documents] = parts
        self.capacity -= counts
        labels, n_labels = self._labels_of(documents)
        np.subtract.at(self.remaining, labels, 1)
        np.subtract.at(self.wanted, (np.repeat(parts, n_labels), labels), 1)

    def finished(self) -> np.ndarray:
        """Fill the parts with the documents that have no label, and return the part of every document."""
        rest = self._shuffled(np.flatnonzero(self.part < 0))
        self.part[rest] = np.repeat(np.arange(len(self.capacity)), self.capacity)
        return self.part

    def _labels_of(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of documents, and how many each has; indexing a sparse matrix takes longer for a few of them."""
        stops = self.rows.indptr[documents + 1]
        n_labels = stops - self.rows.indptr[documents]
        return self.rows.indices[np.repeat(stops - n_labels.cumsum(), n_labels) + np.arange(n_labels.sum())], n_labels

    def _shuffled(self, documents: np.ndarray) -> np.ndarray:
        return documents if self.random_state is None else self.random_state.permutation(documents)

    def _apportion(self, wanted: np.ndarray, n_documents: int) -> np.ndarray:
        """Return how many documents each part gets, so that what is still wanted afterwards is level over the parts."""
        levels = np.sort(np.concatenate([wanted, wanted - self.capacity]))
        taken = np.clip(wanted - levels[:, None], 0, self.capacity).sum(axis=1)  # falls straight from level to level
        level = np.interp(-n_documents, -taken, levels)
        counts = np.floor(np.clip(wanted - level, 0, self.capacity) + 1e-9).astype(np.int64)
        for _ in range(n_documents - int(counts.sum())):
            counts[self._neediest(wanted - counts, self.capacity - counts)] += 1
        return counts

    def _neediest(self, wanted: np.ndarray, capacity: np.ndarray) -> int:
        """Return the part with room that wants the label most; of equals, the one with the most room; then by chance."""
        chance = np.zeros(len(wanted)) if self.random_state is None else self.random_state.random_sample(len(wanted))
        return int(np.lexsort((chance, capacity, np.round(wanted, 9), capacity > 0))[-1])
