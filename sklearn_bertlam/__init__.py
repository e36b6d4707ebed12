"""Multi-label text classification with BERT and label attention, as scikit-learn estimators."""

from importlib.metadata import PackageNotFoundError, version

from ._classifier import BertLamClassifier

try:
    __version__ = version("sklearn-bertlam")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["BertLamClassifier", "__version__"]
