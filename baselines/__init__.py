"""The systems that BERT-LAM is compared with, as scikit-learn estimators on raw texts."""

from ._binary_relevance import BinaryRelevanceClassifier

__all__ = ["BinaryRelevanceClassifier"]
