"""What a classifier has learned: how good it is, and what it looked at."""

from ._explanations import Explanation
from ._report import MultilabelReport, multilabel_report

__all__ = ["Explanation", "MultilabelReport", "multilabel_report"]
