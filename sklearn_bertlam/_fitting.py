"""What happens in one call of fit: from texts and targets to a trained module."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from ._stratification import stratify
from ._thresholds import cautious_thresholds
from ._validation import (
    Targets,
    check_classes,
    check_label_counts,
    check_label_names,
    check_pos_weight,
    check_sample_weight,
    check_targets,
    check_texts,
    check_threshold,
    in_order_of,
)
from .exceptions import InvalidTargetError, TrainingInterruptedWarning

if TYPE_CHECKING:  # torch takes seconds to import, so only fitting and predicting do it
    import torch

    from ._batches import TextDataset
    from ._checkpoints import CheckpointFile

EVEN = 0.5  # as probable as not
_MOST_WINDOWS_IN_TRAINING = 16  # training keeps what every token went through
_NO_MATTER = {"checkpoint_dir", "verbose", "device", "callbacks"}  # to which model training leads
_NOT_OF_THE_NETWORK = _NO_MATTER | {"label_names", "threshold", "random_state"}


class EpochRange(NamedTuple):
    """What ``max_epochs="auto"`` chooses between: enough updates for few texts, enough passes for many."""

    fewest_updates: int
    fewest_epochs: int
    most_epochs: int

    def epochs(self, n_texts: int, batch_size: int) -> int:
        """Return the number of epochs for so many texts."""
        updates_per_epoch = -(-n_texts // batch_size)
        return int(np.clip(-(-self.fewest_updates // updates_per_epoch), self.fewest_epochs, self.most_epochs))


class Fitting:
    """One call of ``fit`` or ``partial_fit``, which leaves what it learns on the estimator.

    Parameters
    ----------
    estimator : NeuralTextClassifier
        What is fitted. Its attributes are set here.
    is_part : bool, default=False
        Whether the texts are a part of a stream: one pass over them, from where the estimator is, with nothing set aside.
    """

    def __init__(self, estimator: Any, is_part: bool = False):
        self.estimator = estimator
        self.is_part = is_part
        self.goes_on = estimator.__sklearn_is_fitted__() and (is_part or estimator.warm_start)

    @contextmanager
    def undone_if_it_fails(self) -> Iterator[None]:
        """Leave the estimator as it was where the block raises an error."""
        estimator, before = self.estimator, self.estimator.__dict__.copy()
        put_back = _remembered(estimator.module_) if self.goes_on else None
        try:
            yield
        except BaseException:
            estimator.__dict__.clear()
            estimator.__dict__.update(before)
            if put_back is not None:
                put_back()
                estimator.module_.to(estimator.device_)
                estimator._prepared = None
            raise

    def run(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> None:
        """Check everything, then train."""
        import torch

        from ._distributed import joined_processes, n_processes
        from ._runtime import isolated_torch_random_state, resolve_device, warn_of_slow_precision

        estimator = self.estimator
        texts, targets, weights, labels, label_texts = self._checked(X, y, sample_weight, classes)
        device = resolve_device(estimator.device)
        warn_of_slow_precision(estimator.precision, device, stacklevel=5)
        estimator.classes_, estimator.n_labels_, estimator.sparse_output_ = labels, len(labels), targets.is_sparse
        estimator.device_, estimator._precision = str(device), estimator.precision
        self._forget_measurements()
        if not self.goes_on:
            self._begin(label_texts)
        file = self._checkpoint_file()
        saved = None if file is None else file.read()
        with joined_processes(device):
            if file is not None and n_processes() > 1:
                raise ValueError("checkpoint_dir works in a single process. Train without it, or in one process.")
            facts = self._facts_to_agree_on(saved, device)
            random_state = np.random.RandomState(facts["seed"])
            precision = torch.bfloat16 if facts["is_bfloat16"] else torch.float32
            with isolated_torch_random_state(random_state, device):
                data = self._tokenized(texts, targets.matrix, weights)
                checkpoints = None if file is None else self._checkpoints(file, saved, data, facts)
                self._train(data, random_state, precision, checkpoints)
        self._count(targets.matrix)

    # -------------------------------------------------------------------------------------------------------------- checks

    def _checked(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> tuple:
        """Return texts, targets, their weights, the labels and the texts of these, after every check of them."""
        from ._losses import mean_one_weights

        estimator = self.estimator
        texts = check_texts(X)
        classes = None if classes is None else check_classes(classes)
        targets = self._in_order(check_targets(y, len(texts)), classes)
        weights = mean_one_weights(check_sample_weight(sample_weight, len(texts)), targets.matrix)
        labels, label_texts = self._check_labels(targets, classes)
        if not self.is_part:
            check_label_counts(targets.matrix, labels, stacklevel=6)
        if not isinstance(estimator.threshold, str):
            check_threshold(estimator.threshold, labels)
        check_pos_weight(estimator.pos_weight, labels)
        self._check_part()
        self._check_validation_size(len(texts))
        self._check_checkpoints()
        return texts, targets, weights, labels, label_texts

    def _in_order(self, targets: Targets, classes: Any) -> Targets:
        if classes is not None:
            return in_order_of(targets, classes)
        return in_order_of(targets, self.estimator.classes_.tolist()) if self.goes_on else targets

    def _check_labels(self, targets: Targets, classes: Any) -> tuple[np.ndarray, list[str] | None]:
        """Return the labels and their texts, which are the fitted ones where training goes on."""
        estimator = self.estimator
        n_labels = targets.matrix.shape[1]
        columns = targets.columns if classes is None else classes
        if columns is not None and len(columns) != n_labels:
            raise InvalidTargetError(f"classes has {len(columns)} label(s), but y has {n_labels} column(s).")
        if self.goes_on and n_labels == estimator.n_labels_ and columns in (None, estimator.classes_.tolist()):
            return estimator.classes_, estimator._label_texts
        labels, texts = check_label_names(estimator.label_names, columns, n_labels)
        if self.goes_on and not np.array_equal(labels, estimator.classes_):
            way = "partial_fit" if self.is_part else "warm_start=True"
            raise InvalidTargetError(
                f"{way} goes on with the labels of the last fit, {estimator.classes_.tolist()}, "
                f"got {labels.tolist()}. Use the same labels, or fit anew."
            )
        return labels, texts

    def _check_part(self) -> None:
        if not self.is_part:
            return
        settings = {
            "early_stopping=True": self.estimator.early_stopping,
            "threshold='tuned'": self._tunes_threshold(),
            "checkpoint_dir": self.estimator.checkpoint_dir is not None,
        }
        for setting, is_set in settings.items():
            if is_set:
                raise ValueError(f"partial_fit does not go together with {setting}, which needs all texts at once.")

    def _check_validation_size(self, n_texts: int) -> None:
        estimator = self.estimator
        if self._holds_out() and self._n_validation(n_texts) >= n_texts:
            cause = "early_stopping=True" if estimator.early_stopping else "threshold='tuned'"
            raise ValueError(
                f"{cause} with validation_fraction={estimator.validation_fraction} leaves no text to train on: "
                f"got {n_texts} text(s). Hold out less, use more texts, or neither of the two."
            )

    def _check_checkpoints(self) -> None:
        if self.estimator.checkpoint_dir is not None and self.goes_on:
            raise ValueError("checkpoint_dir cannot be used where warm_start=True goes on from an earlier fit.")

    def _checkpoint_file(self) -> CheckpointFile | None:
        from ._checkpoints import CheckpointFile

        if self.estimator.checkpoint_dir is None:
            return None
        file = CheckpointFile(self.estimator.checkpoint_dir)
        file.check_folder()
        return file

    def _facts_to_agree_on(self, saved: dict | None, device: torch.device) -> dict[str, Any]:
        """Return what all processes have to train with, and a training that goes on has to go on with."""
        import torch

        from ._distributed import agreed
        from ._runtime import make_random_state, resolve_precision

        estimator = self.estimator
        seed = make_random_state(estimator.random_state).randint(2**31 - 1) if saved is None else saved["seed"]
        if saved is not None and saved["device"] == device.type:
            is_bfloat16 = saved["is_bfloat16"]  # "auto" measures, and may come out otherwise
        else:
            is_bfloat16 = resolve_precision(estimator.precision, device) == torch.bfloat16
        return {
            "seed": int(agreed(seed, device)),
            "device": device.type,
            "is_bfloat16": bool(agreed(is_bfloat16, device)),
        }

    def _begin(self, label_texts: list[str] | None) -> None:
        """Note what a later fit that goes on does not change."""
        estimator = self.estimator
        estimator._expected_threshold = None
        estimator._label_texts = label_texts
        estimator._reading = {name: getattr(estimator, name) for name in ("max_length", "long_text", "stride")}
        estimator._reading["keep_cut"] = estimator._counts_words()
        given = estimator.get_params(deep=False)
        estimator._built_with = {name: value for name, value in given.items() if name not in _NOT_OF_THE_NETWORK}

    def _forget_measurements(self) -> None:
        for name in ("_prepared", "_input_ranges", "_inference_precision"):
            setattr(self.estimator, name, None)
        for name in ("inference_", "_tuned_threshold"):
            self.estimator.__dict__.pop(name, None)

    def _count(self, targets: sp.csr_array) -> None:
        """Note how many texts and examples of each label the estimator has learned from."""
        n_texts, n_labels = targets.shape
        count = np.bincount(targets.indices[targets.data == 1], minlength=n_labels)
        if self.is_part and self.goes_on:
            n_texts, count = self.estimator.n_samples_seen_ + n_texts, self.estimator.class_count_ + count
        self.estimator.n_samples_seen_, self.estimator.class_count_ = n_texts, count

    # ---------------------------------------------------------------------------------------------------------------- data

    def _tokenized(self, texts: list[str], targets: sp.csr_array, weights: np.ndarray) -> TextDataset:
        from ._batches import TextDataset
        from ._tokens import tokenize

        estimator = self.estimator
        if not self.goes_on:
            estimator.tokenizer_ = estimator._make_tokenizer(texts)
        reading = estimator._reading | {"most_windows": _MOST_WINDOWS_IN_TRAINING}
        if self.goes_on and not self._tunes_threshold():  # nothing counts words
            reading["keep_cut"] = False
        tokens = tokenize(estimator.tokenizer_, texts, **reading)
        return TextDataset(tokens, targets, weights)

    def _split(self, data: TextDataset, random_state: np.random.RandomState) -> tuple[TextDataset, TextDataset | None]:
        """Hold out texts, so that both parts have their share of every label."""
        if not self._holds_out():
            return data, None
        n_validation = self._n_validation(len(data))
        counted = np.flatnonzero(data.sample_weight > 0)  # others would judge nothing
        counted = counted if len(counted) > 1 else np.arange(len(data))
        n_validation = min(n_validation, max(1, len(counted) - 1))
        applies = sp.csr_array(data.targets[counted] == 1)
        parts = stratify(applies, np.array([len(counted) - n_validation, n_validation]), random_state)
        held_out = np.isin(np.arange(len(data)), counted[parts == 1])
        return data.part(np.flatnonzero(~held_out)), data.part(np.flatnonzero(held_out))

    def _holds_out(self) -> bool:
        return self.estimator.early_stopping or self._tunes_threshold()

    def _n_validation(self, n_texts: int) -> int:
        return int(np.ceil(self.estimator.validation_fraction * n_texts))

    # ------------------------------------------------------------------------------------------------------------ training

    def _train(
        self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype, checkpoints: Any
    ) -> None:
        import torch

        from ._net import train
        from ._prediction import prepared

        estimator = self.estimator
        tunes_threshold = self._tunes_threshold()
        data, held_out = self._split(data, random_state)
        self._check_shares(len(data))
        if self.goes_on:
            estimator.module_.to(estimator.device_)
            estimator._prepare_to_go_on(data, self.is_part)
        else:
            estimator.module_ = self._first_module(data, random_state, precision, checkpoints)
        settings = self._settings(len(data), random_state, precision)
        criterion = estimator._make_criterion().to(estimator.device_)
        device = torch.device(estimator.device_)
        validation = held_out if estimator.early_stopping else None
        training = train(estimator.module_, criterion, data, validation, device, settings, checkpoints)
        estimator.history_, estimator.n_iter_ = training.history, len(training.history)
        estimator.best_epoch_ = training.best_epoch
        estimator._prepared = prepared(estimator.module_, device, precision)
        if tunes_threshold:
            self._tune_threshold(cast("TextDataset", held_out), precision)
        if training.interrupted:
            warnings.warn(
                f"Training was interrupted after {estimator.n_iter_} of {settings.max_epochs} epochs. "
                "The estimator can be used with what it had learned by then.",
                TrainingInterruptedWarning,
                stacklevel=5,
            )

    def _check_shares(self, n_texts: int) -> None:
        from ._distributed import n_processes

        n_shared = min(self.estimator.batch_size, n_texts)
        if n_shared < n_processes() and self._n_epochs(n_texts) > 0:
            raise ValueError(
                f"{n_processes()} processes share batches of {n_shared} of {n_texts} text(s), so that some would never have "
                "any. Use fewer processes, or larger batches."
            )

    def _first_module(
        self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype, checkpoints: Any
    ) -> torch.nn.Module:
        """Return the module as training starts with it, or any like it where training goes on from a checkpoint."""
        estimator = self.estimator
        if checkpoints is None or checkpoints.saved is None:
            module: Any = estimator._make_module(data, random_state, precision)
        else:
            estimator._n_word_pieces = checkpoints.saved["n_word_pieces"]
            module = estimator._blank_module(json.loads(checkpoints.saved["encoder"])).to(estimator.device_)
            estimator._expected_threshold = checkpoints.saved["expected_threshold"]
        if checkpoints is not None:
            checkpoints.facts["expected_threshold"] = estimator._expected_threshold
            checkpoints.facts["encoder"] = module.encoder.config.to_json_string(use_diff=False)
            checkpoints.facts["n_word_pieces"] = estimator._n_word_pieces
        return module

    def _settings(self, n_texts: int, random_state: np.random.RandomState, precision: torch.dtype) -> Any:
        from ._net import TrainingSettings

        estimator = self.estimator
        return TrainingSettings(
            learning_rate=float(estimator._learning_rate()),  # checkpoints hold no scalars of numpy
            head_learning_rate=float(estimator._head_learning_rate()),
            weight_decay=float(estimator.weight_decay),
            warmup_fraction=float(estimator.warmup_fraction),
            max_gradient_norm=estimator._max_gradient_norm,
            batch_size=int(estimator.batch_size),
            max_epochs=int(self._n_epochs(n_texts)),
            n_iter_no_change=int(estimator.n_iter_no_change),
            threshold=EVEN if self._tunes_threshold() else estimator.threshold_,
            precision=precision,
            random_state=random_state,
            callbacks=estimator.callbacks,
            verbose=int(estimator.verbose),
        )

    def _n_epochs(self, n_texts: int) -> int:
        if self.is_part:
            return 1
        if self.estimator.max_epochs == "auto":
            return self.estimator._epoch_range.epochs(n_texts, self.estimator.batch_size)
        return self.estimator.max_epochs

    def _checkpoints(self, file: CheckpointFile, saved: dict | None, data: TextDataset, facts: dict[str, Any]) -> Any:
        from ._checkpoints import describe, fingerprint
        from ._net import Checkpoints

        given = self.estimator.get_params(deep=False)
        parameters = {name: describe(value) for name, value in given.items() if name not in _NO_MATTER}
        read, cut, targets = data.tokens, data.tokens.cut, data.targets
        texts = [read.ids, read.offsets, *([] if cut is None else [cut.ids, cut.offsets])]
        places = [targets.indices.astype(np.int64), targets.indptr.astype(np.int64)]  # the same from every container
        identity = parameters | {
            "the labels": describe(self.estimator.classes_),
            "their texts": describe(self.estimator._label_texts),
            "X": fingerprint(*texts),
            "y": fingerprint(*places, targets.data.astype(np.float32)),
            "sample_weight": fingerprint(data.sample_weight),
        }
        if saved is not None:
            file.check(saved["identity"], identity)
        return Checkpoints(file, {"identity": identity, **facts}, saved)

    # ----------------------------------------------------------------------------------------------------------- threshold

    def _tunes_threshold(self) -> bool:
        return isinstance(self.estimator.threshold, str) and self.estimator.threshold == "tuned"

    def _tune_threshold(self, held_out: TextDataset, precision: torch.dtype) -> None:
        estimator = self.estimator
        estimator._tuned_threshold = np.full(estimator.n_labels_, EVEN)
        try:
            estimator._tuned_threshold = self._best_thresholds(held_out, precision)
        except KeyboardInterrupt:
            warnings.warn(
                "Tuning the threshold was interrupted: it is one half. The estimator can be used.",
                TrainingInterruptedWarning,
                stacklevel=6,
            )

    def _best_thresholds(self, held_out: TextDataset, precision: torch.dtype) -> np.ndarray:
        import torch

        from ._prediction import predict_scores

        estimator = self.estimator
        held_out = held_out.part(np.flatnonzero(held_out.sample_weight[held_out.rows]))
        if not len(held_out):
            return np.full(estimator.n_labels_, EVEN)
        device = torch.device(estimator.device_)
        shared = estimator._prepared
        logits = predict_scores(estimator.module_, held_out.tokens, device, precision, shared, rows=held_out.rows)
        return cautious_thresholds(held_out.known_targets.toarray(), expit(logits))


def _remembered(module: Any) -> Callable[[], None]:
    """Return a function that makes a module what it is now."""
    weights = {name: value.detach().to("cpu", copy=True) for name, value in module.state_dict().items()}
    progress = module.progress()

    def put_back() -> None:
        module.load_state_dict(weights)
        module.restore_progress(progress)

    return put_back
