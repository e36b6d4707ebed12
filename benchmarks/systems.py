"""The systems that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sklearn.svm import LinearSVC

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.baselines import (
    BERTClassifier,
    BinaryRelevanceClassifier,
    CNNRNNClassifier,
    FrozenEncoderClassifier,
    LEAMClassifier,
    MAGNETClassifier,
    SGMClassifier,
    TextCNNClassifier,
)


@dataclass(frozen=True)
class System:
    """A row of the tables.

    Attributes
    ----------
    title : str
        What the row says.
    make : callable
        The class, or a function that makes an estimator.
    own : dict
        Parameters that make it this system.
    reads_words : bool
        Whether it has a vocabulary of its own; its length is then not counted in the encoder's tokens.
    candidates : tuple of dict
        Parameters that validation chooses between.
    has_seed : bool
        Whether another seed can give another result.
    published : dict of str to float
        The micro-F1 that the paper reports on a data set, if it has this system.
    """

    title: str
    make: Callable[..., Any]
    own: dict[str, Any] = field(default_factory=dict)
    reads_words: bool = False
    candidates: tuple[dict[str, Any], ...] = ({},)
    has_seed: bool = True
    published: dict[str, float] = field(default_factory=dict)


def _published(aapd: float, rcv1_v2: float) -> dict[str, float]:
    return {"aapd": aapd, "rcv1-v2": rcv1_v2}


_STRENGTHS = tuple({"estimator__C": strength} for strength in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0))
_WORDS: dict[str, Any] = {"reads_words": True}
_NETWORK_ALONE: dict[str, Any] = {"word_share": 0.0, "fit_cardinality": False}

SYSTEMS = {
    "binary-relevance": System(
        "Binary Relevance (TF-IDF + logistic regression)", BinaryRelevanceClassifier, reads_words=True, has_seed=False
    ),
    "binary-relevance-svm": System(
        "Binary Relevance (TF-IDF + linear SVM)",
        lambda: BinaryRelevanceClassifier(estimator=LinearSVC(random_state=0)),
        reads_words=True,
        candidates=_STRENGTHS,
        has_seed=False,
        published=_published(0.646, 0.858),
    ),
    "text-cnn": System("Text-CNN", TextCNNClassifier, **_WORDS),
    "leam": System("LEAM", LEAMClassifier, **_WORDS),
    "leam-label-wise": System("LEAM, label-wise", LEAMClassifier, {"variant": "label-wise"}, **_WORDS),
    "cnn-rnn": System("CNN-RNN", CNNRNNClassifier, **_WORDS, published=_published(0.664, 0.856)),
    "sgm": System("SGM", SGMClassifier, **_WORDS, published=_published(0.699, 0.869)),
    "sgm-ge": System("SGM+GE", SGMClassifier, {"global_embedding": True}, **_WORDS, published=_published(0.710, 0.878)),
    "magnet": System("MAGNET", MAGNETClassifier, published=_published(0.696, 0.875)),
    "frozen": System("frozen embeddings + logistic regression", FrozenEncoderClassifier),
    "cls": System("cls (as the paper's NoLAM)", BERTClassifier, published=_published(0.690, 0.872)),
    "mean": System("mean pooling", BertLamClassifier, {"attention": "mean"} | _NETWORK_ALONE),
    "document": System(
        "document (as the paper's BERT-LAM)",
        BertLamClassifier,
        {"attention": "document", "attention_scale": 1.0} | _NETWORK_ALONE,
        published=_published(0.716, 0.888),
    ),
    "label-wise": System("label-wise (BertLamClassifier's default)", BertLamClassifier),
    "label-wise-alone": System("label-wise without counts of words and labels", BertLamClassifier, _NETWORK_ALONE),
    "label-wise-no-words": System("label-wise without counts of words", BertLamClassifier, {"word_share": 0.0}),
    "label-wise-no-cardinality": System(
        "label-wise without counts of labels", BertLamClassifier, {"fit_cardinality": False}
    ),
    "label-wise-table": System("label-wise without label names", BertLamClassifier, {"label_names": None}),
}
DEMO_SYSTEMS = ("binary-relevance", "frozen", "cls", "mean", "document", "label-wise-alone", "label-wise")
_ABLATIONS_OF_DETAIL = ("label-wise-no-words", "label-wise-no-cardinality", "label-wise-table")
DEFAULT_SYSTEMS = tuple(name for name in SYSTEMS if name not in _ABLATIONS_OF_DETAIL)


def make_system(name: str, **parameters) -> Any:
    """Make an estimator.

    Parameters
    ----------
    name : str
        A key of ``SYSTEMS``.
    **parameters : dict
        Parameters that all systems share. A system takes those that it knows; None means its own default, but for
        ``label_names``; a system that reads words does not take ``max_length``.

    Returns
    -------
    estimator : object
        An unfitted estimator that takes raw texts and an indicator.
    """
    system = SYSTEMS[name]
    estimator = system.make()
    known = set(estimator.get_params(deep=False)) - ({"max_length"} if system.reads_words else set())
    shared = {key: value for key, value in parameters.items() if key in known and value is not None}
    return estimator.set_params(**(shared | system.own))
