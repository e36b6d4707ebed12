"""fit and predict for any torch module over texts."""

from __future__ import annotations

import json
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._multilabel import MultilabelClassifierMixin
from ._stratification import stratify
from ._thresholds import cautious_thresholds
from ._validation import (
    Targets,
    check_label_counts,
    check_label_names,
    check_pos_weight,
    check_sample_weight,
    check_targets,
    check_texts,
    check_threshold,
)
from .exceptions import InvalidTargetError, TrainingInterruptedWarning

if TYPE_CHECKING:  # torch takes seconds to import, so only fitting and predicting do it
    import torch

    from ._batches import TextDataset
    from ._checkpoints import CheckpointFile

_TEXTS_PER_CHUNK = 16384
_SCORES_PER_CHUNK = 2**24
_MOST_WINDOWS_IN_TRAINING = 16  # training keeps what every token went through
_NO_MATTER = {"checkpoint_dir", "verbose", "device", "callbacks"}  # to which model training leads
_FEWEST_TEXTS_TO_TUNE_ON = 500  # with fewer, the texts that are set aside are missed more
_EVEN = 0.5  # as probable as not


class EpochRange(NamedTuple):
    """What ``max_epochs="auto"`` chooses between: enough updates for few texts, enough passes for many."""

    fewest_updates: int
    fewest_epochs: int
    most_epochs: int

    def epochs(self, n_texts: int, batch_size: int) -> int:
        """Return the number of epochs for so many texts."""
        updates_per_epoch = -(-n_texts // batch_size)
        return int(np.clip(-(-self.fewest_updates // updates_per_epoch), self.fewest_epochs, self.most_epochs))


class NeuralTextClassifier(MultilabelClassifierMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of the multi-label classifiers that train a torch module on raw texts.

    A subclass declares its parameters in ``__init__`` (all that this class reads, listed in ``_parameter_constraints``) and
    says how to make the tokenizer and the module.
    """

    module_: Any
    _prepared: dict[str, Any] | None = None  # what predictions share, made by the first of them
    _input_ranges: list | None = None
    long_text = "truncate"
    stride = 0
    checkpoint_dir = None
    _max_gradient_norm = 1.0
    _epoch_range = EpochRange(fewest_updates=60, fewest_epochs=3, most_epochs=30)
    _parameter_constraints: dict = {
        "label_names": ["array-like", dict, None],
        "max_length": [Interval(Integral, 3, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="left")],
        "head_learning_rate": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "warmup_fraction": [Interval(Real, 0, 1, closed="both")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "pos_weight": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like", StrOptions({"auto", "tuned"})],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # ------------------------------------------------------------------------------------------- what a subclass provides

    @abstractmethod
    def _make_tokenizer(self, texts: list[str]) -> Any:
        """Return a fast tokenizer, loaded or learned from the texts."""

    @abstractmethod
    def _make_module(
        self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype
    ) -> torch.nn.Module:
        """Return the module on ``device_`` as training starts with it; it maps a batch to logits (B, K)."""

    @abstractmethod
    def _blank_module(self, encoder_config: dict | None) -> torch.nn.Module:
        """Return a module like the fitted one, whose weights are still to be loaded."""

    def _learning_rate(self) -> float:
        """Return the peak learning rate of the encoder."""
        return self.learning_rate

    def _head_learning_rate(self) -> float:
        """Return the peak learning rate of everything outside the encoder."""
        return self.head_learning_rate

    def _make_linear(self) -> Any:
        """Return what makes the affine layers of predictions, or None for the usual ones."""
        return None

    # ------------------------------------------------------------------------------------------------------------ learning

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model to texts and their labels.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts: a list, tuple, 1-D array, Series, one-column DataFrame or pyarrow column.
        y : {array-like, sparse matrix, DataFrame} of shape (n_texts, n_labels)
            Indicator of 0 and 1. NaN in a dense y marks an unknown entry, which does not count in the loss. The columns of
            a DataFrame become ``classes_``.
        sample_weight : array-like of shape (n_texts,), optional
            Non-negative weights of the texts in the loss.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        InvalidTextError, InvalidTargetError, InvalidLabelNamesError
            If the input is not as described. All are ValueErrors.
        EncoderNotFoundError
            If there is no pretrained model of the given name.
        """
        with self._unchanged_if_it_fails():
            self._fit(X, y, sample_weight)
        return self

    @contextmanager
    def _unchanged_if_it_fails(self) -> Iterator[None]:
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, X, y, sample_weight) -> None:
        import torch

        from ._checkpoints import CheckpointFile
        from ._distributed import agreed, joined_processes
        from ._losses import mean_one_weights
        from ._runtime import (
            isolated_torch_random_state,
            make_random_state,
            resolve_device,
            resolve_precision,
            warn_of_slow_precision,
        )

        texts = check_texts(X)
        targets = check_targets(y, len(texts))
        weights = mean_one_weights(check_sample_weight(sample_weight, len(texts)), targets.matrix)
        classes, label_texts = self._check_labels(targets)
        check_label_counts(targets.matrix, classes, stacklevel=5)
        if not isinstance(self.threshold, str):
            check_threshold(self.threshold, len(classes))
        check_pos_weight(self.pos_weight, len(classes))
        self._check_validation_size(len(texts))
        goes_on = self._goes_on(classes)
        self._check_checkpoints(goes_on)

        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device)
        warn_of_slow_precision(self.precision, device, stacklevel=5)
        self.classes_, self.n_labels_, self.sparse_output_ = classes, len(classes), targets.is_sparse
        self.device_, self._precision = str(device), self.precision
        self._forget_measurements()
        if not goes_on:
            self._label_texts = label_texts
            self._reading = {"max_length": self.max_length, "long_text": self.long_text, "stride": self.stride}
        file = None if self.checkpoint_dir is None else CheckpointFile(self.checkpoint_dir)
        saved = None if file is None else file.read()
        with joined_processes(device):
            seed = agreed(
                make_random_state(self.random_state).randint(2**31 - 1) if saved is None else saved["seed"], device
            )
            random_state = np.random.RandomState(seed)
            precision = torch.bfloat16 if agreed(precision == torch.bfloat16, device) else torch.float32
            with isolated_torch_random_state(random_state, device):
                data = self._tokenized(texts, targets.matrix, weights, goes_on)
                checkpoints = None if file is None else self._checkpoints(file, saved, data, seed)
                self._train(data, random_state, precision, goes_on, checkpoints)

    def _forget_measurements(self) -> None:
        self._prepared = self._input_ranges = None
        for name in ("inference_", "_tuned_threshold"):
            self.__dict__.pop(name, None)

    def _tokenized(self, texts: list[str], targets: sp.csr_array, weights: np.ndarray, goes_on: bool) -> TextDataset:
        from ._batches import TextDataset
        from ._tokens import tokenize

        if not goes_on:
            self.tokenizer_ = self._make_tokenizer(texts)
        tokens = tokenize(self.tokenizer_, texts, **self._reading, most_windows=_MOST_WINDOWS_IN_TRAINING)
        return TextDataset(tokens, targets, weights)

    def _check_checkpoints(self, goes_on: bool) -> None:
        from ._distributed import n_processes

        if self.checkpoint_dir is None:
            return
        if goes_on:
            raise ValueError("checkpoint_dir cannot be used where warm_start=True goes on from an earlier fit.")
        if n_processes() > 1:
            raise ValueError("checkpoint_dir works in a single process. Train without it, or in one process.")

    def _checkpoints(self, file: CheckpointFile, saved: dict | None, data: TextDataset, seed: int) -> Any:
        from ._checkpoints import describe, fingerprint
        from ._net import Checkpoints

        parameters = {name: describe(value) for name, value in self.get_params(deep=False).items() if name not in _NO_MATTER}
        arrays = data.tokens.ids, data.tokens.offsets, data.targets.indices, data.targets.indptr, data.targets.data
        identity = parameters | {"the data": fingerprint(*arrays, data.sample_weight)}
        if saved is not None:
            file.check(saved["identity"], identity)
        return Checkpoints(file, {"identity": identity, "seed": seed}, saved)

    def _train(
        self,
        data: TextDataset,
        random_state: np.random.RandomState,
        precision: torch.dtype,
        goes_on: bool,
        checkpoints: Any,
    ) -> None:
        import torch

        from ._net import prepared, train

        tunes_threshold = self._tunes_threshold(len(data))
        data, held_out = self._split(data, random_state)
        if not goes_on:
            self.module_ = self._first_module(data, random_state, precision, checkpoints)
        settings = self._training_settings(len(data), random_state, precision)
        criterion = self._make_criterion().to(self.device_)
        device = torch.device(self.device_)
        validation = held_out if self.early_stopping else None
        training = train(self.module_, criterion, data, validation, device, settings, checkpoints)
        self.history_, self.n_iter_, self.best_epoch_ = training.history, len(training.history), training.best_epoch
        self._prepared = prepared(self.module_, device, precision)
        if tunes_threshold:
            self._tuned_threshold = self._tune_threshold(cast("TextDataset", held_out), precision)
        if training.interrupted:
            warnings.warn(
                f"Training was interrupted after {self.n_iter_} of {settings.max_epochs} epochs. "
                "The estimator can be used with what it had learned by then.",
                TrainingInterruptedWarning,
                stacklevel=5,
            )

    def _first_module(
        self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype, checkpoints: Any
    ) -> torch.nn.Module:
        """Return the module as training starts with it, or any like it where training goes on from a checkpoint."""
        if checkpoints is None or checkpoints.saved is None:
            module: Any = self._make_module(data, random_state, precision)
        else:
            module = self._blank_module(json.loads(checkpoints.saved["encoder"])).to(self.device_)
            module.labels_per_update = checkpoints.saved["labels_per_update"]
        if checkpoints is not None:
            checkpoints.facts["encoder"] = module.encoder.config.to_json_string(use_diff=False)
            checkpoints.facts["labels_per_update"] = module.labels_per_update
        return module

    def _check_labels(self, targets: Targets) -> tuple[np.ndarray, list[str] | None]:
        """Return the labels and their texts, which are the fitted ones where training goes on with as many or the same."""
        n_labels = targets.matrix.shape[1]
        if self.warm_start and self.__sklearn_is_fitted__() and n_labels == self.n_labels_:
            if targets.columns in (None, self.classes_.tolist()):
                return self.classes_, self._label_texts
        return check_label_names(self.label_names, targets.columns, n_labels)

    def _goes_on(self, classes: np.ndarray) -> bool:
        """Tell whether this fit continues the last one."""
        if not (self.warm_start and self.__sklearn_is_fitted__()):
            return False
        if not np.array_equal(classes, self.classes_):
            raise InvalidTargetError(
                f"warm_start=True goes on with the labels of the last fit, {self.classes_.tolist()}, "
                f"got {classes.tolist()}. Use the same labels or warm_start=False."
            )
        return True

    def _check_validation_size(self, n_texts: int) -> None:
        if self._holds_out(n_texts) and self._n_validation(n_texts) >= n_texts:
            cause = "early_stopping=True" if self.early_stopping else "threshold='tuned'"
            raise ValueError(
                f"{cause} with validation_fraction={self.validation_fraction} leaves no text to train on: "
                f"got {n_texts} text(s). Hold out less, use more texts, or neither of the two."
            )

    def _tunes_threshold(self, n_texts: int) -> bool:
        if not isinstance(self.threshold, str):
            return False
        return self.threshold == "tuned" or n_texts >= _FEWEST_TEXTS_TO_TUNE_ON

    def _holds_out(self, n_texts: int) -> bool:
        return self.early_stopping or self._tunes_threshold(n_texts)

    def _n_validation(self, n_texts: int) -> int:
        return int(np.ceil(self.validation_fraction * n_texts))

    def _split(self, data: TextDataset, random_state: np.random.RandomState) -> tuple[TextDataset, TextDataset | None]:
        """Hold out texts, so that both parts have their share of every label."""
        if not self._holds_out(len(data)):
            return data, None
        n_validation = self._n_validation(len(data))
        applies = sp.csr_array(data.targets == 1)
        parts = stratify(applies, np.array([len(data) - n_validation, n_validation]), random_state)
        return data.part(np.flatnonzero(parts == 0)), data.part(np.flatnonzero(parts == 1))

    def _tune_threshold(self, held_out: TextDataset, precision: torch.dtype) -> np.ndarray:
        import torch

        from ._net import dataset_scores

        held_out = held_out.part(np.flatnonzero(held_out.sample_weight[held_out.rows]))
        if not len(held_out):
            return np.full(self.n_labels_, _EVEN)
        logits = dataset_scores(self.module_, held_out, torch.device(self.device_), precision, self._prepared)
        return cautious_thresholds(held_out.known_targets.toarray(), expit(logits))

    def _training_settings(self, n_texts: int, random_state: np.random.RandomState, precision: torch.dtype) -> Any:
        from ._net import TrainingSettings

        chosen = self._epoch_range.epochs(n_texts, self.batch_size)
        return TrainingSettings(
            learning_rate=self._learning_rate(),
            head_learning_rate=self._head_learning_rate(),
            weight_decay=self.weight_decay,
            warmup_fraction=self.warmup_fraction,
            max_gradient_norm=self._max_gradient_norm,
            batch_size=self.batch_size,
            max_epochs=chosen if self.max_epochs == "auto" else self.max_epochs,
            n_iter_no_change=self.n_iter_no_change,
            threshold=_EVEN if isinstance(self.threshold, str) else self.threshold_,
            precision=precision,
            random_state=random_state,
            callbacks=self.callbacks,
            verbose=int(self.verbose),
        )

    def _make_criterion(self) -> torch.nn.Module:
        import torch

        from ._losses import MaskedBCEWithLogitsLoss

        pos_weight = check_pos_weight(self.pos_weight, self.n_labels_)
        return MaskedBCEWithLogitsLoss(None if pos_weight is None else torch.from_numpy(pos_weight))

    # ---------------------------------------------------------------------------------------------------------- predicting

    def decision_function(self, X):
        """Compute the logit of every label for every text.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        logits : ndarray of float32, shape (n_texts, n_labels)
            Positive where the probability is above one half.
        """
        return self._all_scores(X)

    def _all_scores(self, X, method: str = "__call__") -> np.ndarray:
        """Return what a method of the module gives for all texts (n_texts, n_labels)."""
        check_is_fitted(self)
        texts = check_texts(X)
        scores = np.empty((len(texts), self.n_labels_), dtype=np.float32)
        stop = 0
        chunks = (texts[start : start + _TEXTS_PER_CHUNK] for start in range(0, len(texts), _TEXTS_PER_CHUNK))
        for part in self._scores(chunks, method):
            start, stop = stop, stop + len(part)
            scores[start:stop] = part
        return scores

    def _scores(self, chunks: Iterable[list[str]], method: str = "__call__") -> Iterator[np.ndarray]:
        """Yield what a method of the module, its logits by default, gives for chunks of texts."""
        import torch

        from ._net import predict_scores, prepared
        from ._runtime import resolve_precision
        from ._tokens import tokenize_ahead

        device = torch.device(self.device_)
        precision = resolve_precision(self._precision, device)
        if self._prepared is None:  # after unpickling
            self._prepared = prepared(self.module_, device, precision, self._make_linear())
        shared = self._prepared
        for tokens in tokenize_ahead(self.tokenizer_, chunks, **self._reading):
            yield predict_scores(self.module_, tokens, device, precision, shared, method)

    def predict_proba(self, X):
        """Compute the probability of every label for every text.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        probabilities : ndarray of float32, shape (n_texts, n_labels)
            Each between 0 and 1; rows do not sum to 1, because every label is a question of its own.
        """
        logits = self.decision_function(X)
        return expit(logits, out=logits)  # no second array of this size

    def predict(self, X):
        """Tell which labels apply to every text: those whose probability is above ``threshold_``.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        labels : {ndarray, csr_array} of int, shape (n_texts, n_labels)
            Indicator of 0 and 1; sparse where the fitted y was sparse.
        """
        check_is_fitted(self)
        if not self.sparse_output_:
            return self._labels(self.decision_function(X))
        texts = check_texts(X)
        step = max(1, min(_TEXTS_PER_CHUNK, _SCORES_PER_CHUNK // self.n_labels_))  # never dense as a whole
        chunks = (texts[start : start + step] for start in range(0, len(texts), step))
        return sp.csr_array(sp.vstack(list(self._predict_chunks(chunks)), format="csr"))

    def _predict_chunks(self, chunks: Iterable[list[str]]) -> Iterator[np.ndarray | sp.csr_array]:
        """Yield what ``predict`` returns for chunks of texts."""
        return map(self._labels, self._scores(chunks))

    def _labels(self, logits: np.ndarray) -> np.ndarray | sp.csr_array:
        labels = expit(logits) > self.threshold_
        return sp.csr_array(labels, dtype=np.int64) if self.sparse_output_ else labels.astype(np.int64)

    def predict_batches(self, texts, *, method="predict", batch_size=4096):
        """Predict a stream of texts, in constant memory.

        Texts are tokenized in a thread while the ones before them are computed on.

        Parameters
        ----------
        texts : iterable of str
            The texts, for instance the lines of a file; taken only as they are needed.
        method : {"predict", "predict_proba", "decision_function"}, default="predict"
            What to compute.
        batch_size : int, default=4096
            Number of texts per result. Texts of a batch are sorted by length for speed, so small batches are slower.

        Yields
        ------
        result : {ndarray, csr_array} of shape (at most batch_size, n_labels)
            What ``method`` returns for the next texts, in their order.
        """
        outputs: dict[str, Callable[..., Iterator]] = {
            "predict": self._predict_chunks,
            "predict_proba": lambda chunks: map(expit, self._scores(chunks)),
            "decision_function": self._scores,
        }
        if method not in outputs:
            raise ValueError(f"method should be one of {sorted(outputs)}, got {method!r}.")
        check_is_fitted(self)
        if isinstance(texts, str):
            check_texts(texts)  # raises
        stream = iter(texts)
        batches = iter(lambda: list(islice(stream, batch_size)), [])
        return outputs[method](check_texts(batch) for batch in batches)

    @property
    def threshold_(self) -> float | np.ndarray:
        """The probability above which a label is predicted: a number, or one per label."""
        if not isinstance(self.threshold, str):
            return check_threshold(self.threshold, self.n_labels_)
        if not hasattr(self, "_tuned_threshold"):
            if self.threshold == "auto":
                return _EVEN
            raise ValueError("threshold='tuned' was set after fit, which had not tuned it. Fit again, or set a number.")
        return self._tuned_threshold

    # ----------------------------------------------------------------------------------------------------- saving, loading

    def save(self, folder, *, overwrite=False):
        """Write the fitted estimator to a folder, without pickle.

        The folder holds JSON, the weights as safetensors and the tokenizer. It is there completely or not at all. Parameters
        that JSON cannot hold, such as callbacks, are left out with a warning, and so is what
        ``optimize_for_inference`` chose.

        Parameters
        ----------
        folder : str or path-like
            The folder to write.
        overwrite : bool, default=False
            Whether to replace a folder that is not empty.

        Raises
        ------
        FileExistsError
            If the folder is not empty and ``overwrite`` is False.
        TypeError
            If a label is neither a str nor a number.
        """
        from ._persistence import save

        check_is_fitted(self)
        save(self, folder, overwrite)

    @classmethod
    def load(cls, folder, *, device="auto"):
        """Read an estimator that ``save`` has written. No code from the folder runs.

        Parameters
        ----------
        folder : str or path-like
            The folder.
        device : str, default="auto"
            Where the network is to compute, whatever it was saved from.

        Returns
        -------
        estimator : object
            The fitted estimator.

        Raises
        ------
        SavedModelError
            If the folder was not written by ``save``, holds another class, is damaged, or is of a newer format. It is a
            ValueError.
        """
        from ._persistence import load

        return load(cls, folder, device)

    # ------------------------------------------------------------------------------------------------- scikit-learn's ways

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")

    def __getstate__(self):
        """Keep all that was fitted, with the weights on the CPU, so that any machine can load them."""
        state = super().__getstate__().copy()
        state.pop("_prepared", None)
        if state.get("device_", "cpu") != "cpu":
            from copy import deepcopy

            state["module_"] = deepcopy(self.module_).cpu()
        return state

    def __setstate__(self, state):
        """Put the weights where they were, or on the CPU where that device is missing."""
        super().__setstate__(state)
        if state.get("device_", "cpu") != "cpu":
            from ._runtime import resolve_device

            try:
                self.device_ = str(resolve_device(state["device_"]))
            except ValueError:
                self.device_ = "cpu"
            self.module_.to(self.device_)
