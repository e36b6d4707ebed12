"""Pictures by scikit-learn's Display convention: the numbers are attributes, and ``plot`` draws them with matplotlib."""

from ._attention import LabelAttentionDisplay
from ._history import TrainingHistoryDisplay
from ._label_report import LabelReportDisplay
from ._threshold import ThresholdDisplay

__all__ = ["LabelAttentionDisplay", "LabelReportDisplay", "ThresholdDisplay", "TrainingHistoryDisplay"]
