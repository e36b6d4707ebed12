"""What training and prediction ask of a network over texts, and the answers of one that wants nothing special."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from ._bert import LinearFactory
    from ._tokens import RaggedTokens


class TextModule(nn.Module):
    """Base of the networks over texts: a subclass maps ``PackedTexts`` of B texts to logits (B, K).

    Attributes
    ----------
    encoder : Module or None
        A transformers model, whose parameters have a learning rate of their own.
    label_tokens : RaggedTokens or None
        The label texts, where the encoder reads them.
    words : WordScores or None
        What counts of word-pieces say about labels.
    cardinality : Cardinality or None
        How many labels texts have.
    labels_per_update : int or None
        How many label texts an update of training encodes.
    reads_targets : bool
        Whether training hands over the targets (B, K) as well, by the name of ``targets``.
    tokens_at_once : int or None
        Tokens of a batch of prediction, or of a part of one of training. None is what memory allows.
    values_per_text : int
        Numbers that the last layer reads from a text, for the memory that they need.
    """

    reads_targets = False
    tokens_at_once: int | None = None
    values_per_text = 0

    def __init__(self) -> None:
        super().__init__()
        self.encoder: Any = None
        self.label_tokens: RaggedTokens | None = None
        self.words: Any = None
        self.cardinality: Any = None
        self.labels_per_update: int | None = None

    def prepare(self, make_linear: LinearFactory | None = None) -> Any:
        """Return what all batches of a prediction are given by the name of ``prepared``, or None for nothing."""
        return None

    def start_update(self) -> None:
        """Do what has to be done once per update of training."""

    def penalty(self) -> torch.Tensor | float:
        """Return what training adds to every loss."""
        return 0.0

    def progress(self) -> dict[str, Any]:
        """Return what training keeps from one update to the next beside the weights."""
        return {}

    def restore_progress(self, progress: dict[str, Any]) -> None:
        """Go on where another training was."""
