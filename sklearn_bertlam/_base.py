"""fit and predict for any torch module over texts."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_scalar

from ._files import paths_as_text
from ._fitting import EVEN, EpochRange, Fitting
from ._multilabel import MultilabelClassifierMixin
from ._validation import check_pos_weight, check_texts, check_threshold, checked_batches
from .exceptions import UnsuitableThresholdError

if TYPE_CHECKING:  # torch takes seconds to import, so only fitting and predicting do it
    import torch

    from ._batches import TextDataset

_TEXTS_PER_CHUNK = 16384
_SCORES_PER_CHUNK = 2**24


class NeuralTextClassifier(MultilabelClassifierMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of the multi-label classifiers that train a torch module on raw texts.

    A subclass declares its parameters in ``__init__`` (all that this class reads, listed in ``_parameter_constraints``) and
    says how to make the tokenizer and the module.
    """

    module_: Any
    _prepared: dict[str, Any] | None = None  # what predictions share, made by the first of them
    _input_ranges: list | None = None
    _inference_precision: str | None = None  # instead of that of training
    _expected_threshold: float | None = None  # known before training
    _n_word_pieces = 0  # where counts of them have no say
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
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like", StrOptions({"tuned"})],
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

    def _counts_words(self) -> bool:
        """Tell whether predictions depend on all words of a text, also on those that the network does not read."""
        return False

    def _prepare_to_go_on(self, data: TextDataset, is_part: bool) -> None:
        """Tell the fitted module what may change when training goes on, with all texts or with a part of a stream."""

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
        TrainingDivergedError
            If weights are no longer finite, mostly for too high a learning rate.
        OutOfMemoryError
            If memory does not suffice for a single text.
        CheckpointError
            If ``checkpoint_dir`` holds a checkpoint of another training, or a damaged one.
        """
        fitting = Fitting(self)
        with fitting.undone_if_it_fails():
            fitting.run(X, y, sample_weight)
        return self

    def _make_criterion(self) -> torch.nn.Module:
        import torch

        from ._losses import MaskedBCEWithLogitsLoss

        pos_weight = check_pos_weight(self.pos_weight, self.classes_)
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

        from ._prediction import predict_scores, prepared
        from ._runtime import resolve_precision
        from ._tokens import tokenize_ahead

        device = torch.device(self.device_)
        precision = resolve_precision(self._inference_precision or self._precision, device)
        shared = self._prepared  # read once, as another thread may forget it
        if shared is None:  # after unpickling
            shared = self._prepared = prepared(self.module_, device, precision, self._make_linear())
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
            Each between 0 and 1; a text may have several labels, so rows need not sum to 1.
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
        labels = expit(logits) > np.atleast_1d(self.threshold_)  # NumPy 1 compares with a number in single precision
        return sp.csr_array(labels, dtype=np.int64) if self.sparse_output_ else labels.astype(np.int64)

    def predict_batches(self, texts, *, method="predict", batch_size=4096):
        """Predict a stream of texts, in constant memory.

        Texts are tokenized in a thread while the ones before them are computed on.

        Parameters
        ----------
        texts : iterable of str
            The texts, for instance the lines of a file; taken as they are needed, one batch ahead of the results. Also what
            ``predict`` takes.
        method : {"predict", "predict_proba", "decision_function"}, default="predict"
            What to compute.
        batch_size : int, default=4096
            Number of texts per result. Texts of a batch are sorted by length for speed, so small batches are slower.

        Yields
        ------
        result : {ndarray, csr_array} of shape (at most batch_size, n_labels)
            What ``method`` returns for the next texts, in their order.

        Raises
        ------
        InvalidTextError
            At the first text that is none, whose position in the stream it names. Those before its batch are predicted.
        """
        outputs: dict[str, Callable[..., Iterator]] = {
            "predict": self._predict_chunks,
            "predict_proba": lambda chunks: map(expit, self._scores(chunks)),
            "decision_function": self._scores,
        }
        if method not in outputs:
            raise ValueError(f"method should be one of {sorted(outputs)}, got {method!r}.")
        check_scalar(batch_size, "batch_size", Integral, min_val=1)
        check_is_fitted(self)
        return outputs[method](checked_batches(texts, batch_size))

    @property
    def threshold_(self) -> float | np.ndarray:
        """The probability above which a label is predicted: a number, or one per label."""
        check_is_fitted(self, "n_labels_")  # fit itself asks, before it has ended
        if not isinstance(self.threshold, str):
            return check_threshold(self.threshold, self.classes_)
        if self.threshold == "auto":
            return EVEN if self._expected_threshold is None else self._expected_threshold
        if not hasattr(self, "_tuned_threshold"):
            raise UnsuitableThresholdError(
                "threshold='tuned' was set after fit, which had not tuned it. Fit again, or set a number."
            )
        return self._tuned_threshold

    # ----------------------------------------------------------------------------------------------------- saving, loading

    def save(self, folder, *, overwrite=False):
        """Write the fitted estimator to a folder, without pickle.

        The folder holds JSON, the weights as safetensors and the tokenizer. If the process is killed, ``load`` finds there
        what was saved before or what was being saved, and never a mixture.
        Parameters that JSON cannot hold, such as callbacks, are left out with a warning; ``checkpoint_dir``, ``device`` and
        what ``optimize_for_inference`` chose are of this machine and left out without one.

        Parameters
        ----------
        folder : str or path-like
            The folder to write.
        overwrite : bool, default=False
            Whether to replace the classifier that the folder holds. Other files there stay.

        Raises
        ------
        FileExistsError
            If the folder is not empty and ``overwrite`` is False, or holds no saved classifier but other files.
        TypeError
            If a label is neither a str nor a number.
        ValueError
            If a parameter is not what it may be, so that nobody could load the folder.
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

    def push_to_hub(
        self, repo_id, *, metrics=None, private=None, revision=None, commit_message="Upload a classifier", token=None
    ):
        """Save the fitted estimator to the Hugging Face hub, with a model card.

        The card tells the labels, how many texts they were learned from, the parameters, and the scores given here. It is
        the ``README.md`` of the repository and replaces what is there, as the other files replace those of the same name;
        the repository's history keeps them. Of an encoder from a folder of this machine, the folder's name is shared.

        Parameters
        ----------
        repo_id : str
            The repository, ``"user/name"``, or ``"name"`` for one of the account. It is made where it is missing.
        metrics : dict of str to float, optional
            Scores for the model card, which has none without them.
        private : bool, optional
            Whether a new repository is private; by default as the account has it.
        revision : str, optional
            The branch to write to; the main one by default.
        commit_message : str, default="Upload a classifier"
            What the commit says.
        token : str or bool, optional
            Of the account; by default the one that ``hf auth login`` has stored.

        Returns
        -------
        url : str
            The address of the commit, whose hash :meth:`from_hub` takes as ``revision``.

        Raises
        ------
        HubError
            If the hub cannot be reached or refuses. It is an OSError.
        TypeError
            If ``metrics`` are no numbers.
        ValueError
            If a parameter is not what it may be, so that nobody could load the repository.
        """
        from ._hub import push

        check_is_fitted(self)
        return push(
            self,
            repo_id,
            metrics=metrics,
            private=private,
            revision=revision,
            commit_message=commit_message,
            token=token,
        )

    @classmethod
    def from_hub(cls, repo_id, *, revision=None, token=None, local_files_only=False, device="auto"):
        """Read an estimator that ``push_to_hub`` has written. No code from the repository runs.

        Parameters
        ----------
        repo_id : str
            The repository, ``"user/name"``.
        revision : str, optional
            A branch, a tag, or the hash of a commit, which alone can never change. The main branch by default.
        token : str or bool, optional
            Of the account, for private repositories.
        local_files_only : bool, default=False
            Whether to use only what an earlier call has left in the cache, without the network.
        device : str, default="auto"
            Where the network is to compute.

        Returns
        -------
        estimator : object
            The fitted estimator.

        Raises
        ------
        HubError
            If the repository cannot be had. It is an OSError.
        SavedModelError
            If it does not hold what ``save`` writes. It is a ValueError.
        """
        from ._hub import pull

        return cls.load(pull(repo_id, revision=revision, token=token, local_files_only=local_files_only), device=device)

    # ------------------------------------------------------------------------------------------------- scikit-learn's ways

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")

    def __getstate__(self):
        """Keep all that was fitted, the network and the tokenizer as plain values, so that any machine can load them."""
        from ._persistence import plain_network

        state = super().__getstate__().copy()
        state.pop("_prepared", None)
        if "module_" in state:
            del state["module_"], state["tokenizer_"]
            state["_plain_network"] = plain_network(self)
            state["_built_with"] = paths_as_text(self._built_with)
        return paths_as_text(state)

    def __setstate__(self, state):
        """Put the weights where they were, or on the CPU where that device is missing."""
        from ._persistence import restore_network
        from ._runtime import resolve_device

        state = dict(state)
        network = state.pop("_plain_network", None)
        super().__setstate__(state)
        if network is None:
            return
        try:
            self.device_ = str(resolve_device(self.device_))
        except ValueError:
            self.device_ = "cpu"
        restore_network(self, network)
