"""What a classifier looked at in a text, and which words its answer depends on."""

from __future__ import annotations

import difflib
import os
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from ._explanation_page import in_notebook, page
from ._tokens import encodable, words_of_tokens

_CHARACTERS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a classifier made of one text; W words, k labels.

    Made by ``BertLamClassifier.explain``.

    Parameters
    ----------
    text : str
        The text.
    spans : list of (int, int)
        Where each word starts and stops in the text.
    labels : list
        The explained labels, the most probable one first.
    probabilities : ndarray of shape (k,)
        What ``predict_proba`` returns for them.
    predicted : ndarray of bool, shape (k,)
        What ``predict`` returns for them.
    attention : ndarray of shape (k, W), or None
        How much each word weighs in the vector that decides on the label: the sum over its tokens, and 0 for words that
        were cut off. Rows sum to 1. Attention shows where the network looked, and not what the answer depends on: a word
        can weigh much and change nothing. None for ``attention="cls"``.
    influence : ndarray of shape (k, W), or None
        How much the logit of the label falls when the word is taken out of the text, with a space in its place where there
        is none on either side: positive where the word speaks for the label, negative where it speaks against it.
        None if not asked for.

    Examples
    --------
    >>> from sklearn_bertlam import BertLamClassifier
    >>> clf = BertLamClassifier(label_names=["wine", "car"], max_epochs=0, random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 0], [1, 0], [0, 1]])
    >>> explanation = clf.explain(["white wine"], labels=["wine"])[0]
    >>> explanation.words, explanation.labels
    (['white', 'wine'], ['wine'])
    >>> bool(explanation.influence[0, 1] > 0)  # "wine" speaks for it
    True
    """

    text: str
    spans: list[tuple[int, int]]
    labels: list[Hashable]
    probabilities: np.ndarray
    predicted: np.ndarray
    attention: np.ndarray | None
    influence: np.ndarray | None

    @property
    def words(self) -> list[str]:
        """The words of the text."""
        return [self.text[start:stop] for start, stop in self.spans]

    def to_frame(self):
        """Return a pandas DataFrame with one row per label and word.

        Returns
        -------
        frame : pandas.DataFrame
            Columns "label", "probability", "word", "start", "stop", and "attention" and "influence" where they are known.
        """
        import pandas as pd

        starts, stops = np.array(self.spans, dtype=np.int64).reshape(-1, 2).T
        n_labels, n_words = len(self.labels), len(self.spans)
        columns: dict[str, Any] = {
            "label": [label for label in self.labels for _ in range(n_words)],
            "probability": np.repeat(self.probabilities, n_words),
            "word": self.words * n_labels,
            "start": np.tile(starts, n_labels),
            "stop": np.tile(stops, n_labels),
        }
        columns |= {name: values.ravel() for name, values in self._weights().items()}
        return pd.DataFrame(columns)

    def to_html(self, path=None):
        """Return a web page where one picks a label and sees its words light up.

        The page needs neither a network nor other files.

        Parameters
        ----------
        path : str or path-like, optional
            A file to write the page to.

        Returns
        -------
        html : str
            The page.
        """
        html = page(self.text, self.spans, self.labels, self.probabilities, self.predicted, self._weights())
        if path is not None:
            Path(os.fspath(path)).write_text(html, encoding="utf-8")
        return html

    def _repr_html_(self) -> str:
        return in_notebook(self.to_html())

    def _weights(self) -> dict[str, np.ndarray]:
        known = {"attention": self.attention, "influence": self.influence}
        return {name: values for name, values in known.items() if values is not None}


def explain(estimator: Any, texts: list[str], labels: Any, influence: bool) -> list[Explanation]:
    """Explain the predictions of a fitted ``BertLamClassifier``; see its ``explain``."""
    columns = _columns(estimator.classes_.tolist(), labels)
    texts = [encodable(text) for text in texts]
    logits = estimator.decision_function(texts)
    predicted = estimator._labels(logits)
    predicted = predicted.toarray() if estimator.sparse_output_ else predicted
    attention = None if estimator.module_.attention == "cls" else estimator._attention_of_tokens(texts)
    reading, explanations = estimator._reading, []
    for row, text in enumerate(texts):
        words, spans = words_of_tokens(estimator.tokenizer_, text, reading["max_length"], reading["long_text"])
        chosen = columns[np.argsort(-logits[row, columns], kind="stable")]
        explanations.append(
            Explanation(
                text,
                spans,
                [estimator.classes_[column] for column in chosen],
                expit(logits[row, chosen]),
                predicted[row, chosen] == 1,
                None if attention is None else _of_words(attention[row], words, len(spans))[chosen],
                _influence(estimator, text, spans, logits[row])[chosen] if influence else None,
            )
        )
    return explanations


def _columns(classes: list, labels: Any) -> np.ndarray:
    if labels is None:
        return np.arange(len(classes))
    labels = labels if isinstance(labels, Iterable) and not isinstance(labels, str) else [labels]
    return np.array([_position(classes, label) for label in labels], dtype=np.intp)


def _position(classes: list, label: Any) -> int:
    with suppress(ValueError):  # also where the label is an array, whose comparison is no bool
        return classes.index(label)
    by_name = {str(known).lower(): known for known in classes}
    near = difflib.get_close_matches(str(label).lower(), by_name, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(repr(by_name[name]) for name in near)}?" if near else f"There are {classes[:10]}."
    raise ValueError(f"There is no label {label!r}. {hint}")


def _of_words(attention: np.ndarray, words: np.ndarray, n_words: int) -> np.ndarray:
    """Add up the attention of tokens (L, K) to that of words (K, W)."""
    sums = np.zeros((n_words + 1, attention.shape[1]))
    np.add.at(sums, words, attention[: len(words)])  # special tokens, -1, go to the last row
    return sums[:n_words].T


def _influence(estimator: Any, text: str, spans: list[tuple[int, int]], logits: np.ndarray) -> np.ndarray:
    """Return by how much the logits (K,) fall without each of the words (K, W)."""
    step = max(1, _CHARACTERS_AT_ONCE // max(1, len(text)))
    falls = [np.zeros((0, len(logits)))]
    for first in range(0, len(spans), step):
        without = [_without(text, start, stop) for start, stop in spans[first : first + step]]
        falls.append(logits - estimator.decision_function(without))
    return np.concatenate(falls).T


def _without(text: str, start: int, stop: int) -> str:
    before, after = text[:start], text[stop:]
    would_grow_together = before[-1:].strip() and after[:1].strip()
    return f"{before} {after}" if would_grow_together else before + after
