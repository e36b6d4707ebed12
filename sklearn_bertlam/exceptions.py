"""Errors and warnings that say what was wrong, what was got and what to do.

Errors about texts, targets, label names, files and training have names of their own. Each is also a ``BertLamError``, and
the built-in error that scikit-learn users expect. A parameter that does not fit is a plain ValueError or TypeError.
"""

__all__ = [
    "BertLamError",
    "CheckpointError",
    "DatasetFormatError",
    "DatasetNotFoundError",
    "EncoderNotFoundError",
    "HubError",
    "InvalidLabelNamesError",
    "InvalidTargetError",
    "InvalidTextError",
    "LabelWithoutPositivesWarning",
    "LessMemoryWarning",
    "OnnxFileError",
    "OutOfMemoryError",
    "SavedModelError",
    "SingleLabelNameWarning",
    "SlowPrecisionWarning",
    "TrainingDivergedError",
    "TrainingInterruptedWarning",
    "UnsavedParameterWarning",
    "UnsuitableThresholdError",
    "WordVectorsError",
]


class BertLamError(Exception):
    """Base of the errors that have a name of their own here."""


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class InvalidTextError(BertLamError, ValueError):
    """The input is not a one-dimensional collection of strings."""


class InvalidTargetError(BertLamError, ValueError):
    """The target is not an indicator matrix of 0, 1 and NaN with one row per text."""


class InvalidLabelNamesError(BertLamError, ValueError):
    """The label names do not fit the columns of the target."""


class EncoderNotFoundError(BertLamError, ValueError):
    """No pretrained model could be found or loaded under the given name."""


class UnsuitableThresholdError(BertLamError, ValueError, AttributeError):
    """The parameter threshold does not suit the labels, or asks for what fit has not tuned.

    It is an AttributeError for ``threshold_``, which there is none of then, so that the estimator can still be shown.
    """


class WordVectorsError(BertLamError, ValueError):
    """A file of word vectors cannot be read or does not fit."""


class TrainingDivergedError(BertLamError, ArithmeticError):
    """Training ended with a loss or weights that are not finite."""


class OutOfMemoryError(BertLamError, MemoryError):
    """Memory does not suffice for a single text."""


class DatasetNotFoundError(BertLamError, FileNotFoundError):
    """A data set is not where it was looked for."""


class DatasetFormatError(BertLamError, ValueError):
    """A data file does not have the expected format."""


class OnnxFileError(BertLamError, ValueError, AttributeError):
    """A file is not an ONNX model that this version of the package can read.

    It is an AttributeError for the attributes that would be read from it, so that the estimator can still be shown.
    """


class SavedModelError(BertLamError, ValueError):
    """A folder is not a saved estimator that this version of the package can read."""


class HubError(BertLamError, OSError):
    """The Hugging Face hub could not be read or written."""


class CheckpointError(BertLamError, ValueError):
    """A checkpoint cannot be read or written, or belongs to another training."""


class LabelWithoutPositivesWarning(UserWarning):
    """Some labels have no positive example in the training data."""


class SingleLabelNameWarning(UserWarning):
    """There is one label only and it has a name, which scorers of scikit-learn misread."""


class TrainingInterruptedWarning(UserWarning):
    """Training was stopped from the keyboard; the estimator keeps what it had learned by then."""


class LessMemoryWarning(UserWarning):
    """Memory ran out, so that less is computed at once from here on, to the same result."""


class SlowPrecisionWarning(UserWarning):
    """The precision that was asked for is slower than another on this processor, or the processor does not have it."""


class UnsavedParameterWarning(UserWarning):
    """A parameter, such as a callback, cannot be saved without pickle."""
