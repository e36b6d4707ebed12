"""The systems that BERT-LAM is compared with, as classifiers that take its place in a Pipeline.

Each is imported when it is asked for, because most need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._binary_relevance import BinaryRelevanceClassifier
    from ._cnn_rnn import CNNRNNClassifier
    from ._encoder import BERTClassifier, FrozenEncoderClassifier
    from ._leam import LEAMClassifier
    from ._magnet import MAGNETClassifier
    from ._sgm import SGMClassifier
    from ._text_cnn import TextCNNClassifier

_HOMES = {
    "BERTClassifier": "_encoder",
    "BinaryRelevanceClassifier": "_binary_relevance",
    "CNNRNNClassifier": "_cnn_rnn",
    "FrozenEncoderClassifier": "_encoder",
    "LEAMClassifier": "_leam",
    "MAGNETClassifier": "_magnet",
    "SGMClassifier": "_sgm",
    "TextCNNClassifier": "_text_cnn",
}
__all__ = [
    "BERTClassifier",
    "BinaryRelevanceClassifier",
    "CNNRNNClassifier",
    "FrozenEncoderClassifier",
    "LEAMClassifier",
    "MAGNETClassifier",
    "SGMClassifier",
    "TextCNNClassifier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
