"""What a classifier has learned: how good it is, what it looked at, and pictures of both."""

from ._displays import LabelAttentionDisplay, LabelReportDisplay, ThresholdDisplay, TrainingHistoryDisplay
from ._explanations import Explanation
from ._report import MultilabelReport, multilabel_report

__all__ = [
    "Explanation",
    "LabelAttentionDisplay",
    "LabelReportDisplay",
    "MultilabelReport",
    "ThresholdDisplay",
    "TrainingHistoryDisplay",
    "multilabel_report",
]
