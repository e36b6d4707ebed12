"""The systems that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.svm import LinearSVC

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.baselines import BinaryRelevanceClassifier

_NEURAL: dict[str, dict[str, Any]] = {
    "frozen": {"attention": "mean", "max_epochs": 0},
    "cls": {"attention": "cls"},
    "mean": {"attention": "mean"},
    "document": {"attention": "document", "attention_scale": 1.0},
    "label-wise": {"attention": "label-wise"},
    "label-wise-table": {"attention": "label-wise", "label_names": None},
}
_LINEAR: dict[str, Callable[[], BinaryRelevanceClassifier]] = {
    "binary-relevance": BinaryRelevanceClassifier,
    "binary-relevance-svm": lambda: BinaryRelevanceClassifier(estimator=LinearSVC()),
}

TITLES = {
    "binary-relevance": "Binary Relevance (TF-IDF + logistic regression)",
    "binary-relevance-svm": "Binary Relevance (TF-IDF + linear SVM)",
    "frozen": "frozen embeddings + logistic regression",
    "cls": "cls (the paper's NoLAM)",
    "mean": "mean pooling",
    "document": "document (the paper's BERT-LAM)",
    "label-wise": "label-wise (BertLamClassifier's default)",
    "label-wise-table": "label-wise without label names",
}
DEFAULT_SYSTEMS = ("binary-relevance", "frozen", "cls", "mean", "document", "label-wise")


def make_system(name: str, **parameters) -> Any:
    """Make an estimator.

    Parameters
    ----------
    name : str
        A key of ``TITLES``.
    **parameters : dict
        Parameters of ``BertLamClassifier`` that all neural systems share; linear systems do not take them.

    Returns
    -------
    estimator : object
        An unfitted estimator that takes raw texts and an indicator.
    """
    if name in _LINEAR:
        return _LINEAR[name]()
    return BertLamClassifier(**(parameters | _NEURAL[name]))
