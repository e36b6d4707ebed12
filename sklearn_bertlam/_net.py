"""Training and applying a module over texts. The only file that imports skorch.

This file knows batches, learning rates and callbacks, and nothing of labels' names or of scikit-learn's conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from skorch.utils import noop, to_tensor
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ._batches import TextDataset, TrainingBatches, ValidationBatches, by_length, pad
from ._tokens import RaggedTokens
from .exceptions import TrainingDivergedError

_MAX_GRADIENT_NORM = 1.0


class TrainingSettings(NamedTuple):
    """How a module is trained."""

    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup_fraction: float
    batch_size: int
    max_epochs: int
    n_iter_no_change: int | None
    threshold: float | np.ndarray
    precision: torch.dtype
    random_state: np.random.RandomState
    callbacks: Sequence | None
    verbose: int


class TextNet(NeuralNet):
    """A ``NeuralNet`` with one learning rate for the encoder and one for everything else.

    Parameters
    ----------
    *args, **kwargs
        Passed on to ``skorch.NeuralNet``.
    head_lr : float
        Learning rate of all parameters outside ``module.encoder``.
    precision : torch.dtype
        The type that the network computes in, by autocast.
    """

    def __init__(self, *args, head_lr: float = 1e-3, precision: torch.dtype = torch.float32, **kwargs):
        self.head_lr = head_lr
        self.precision = precision
        self.interrupted_ = False
        super().__init__(*args, **kwargs)

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Make four groups: encoder or head, with or without weight decay (none on biases, norms and scalars)."""
        _, options = super().get_params_for_optimizer(prefix, [])
        groups: dict[tuple[bool, bool], list] = {}
        for name, parameter in named_parameters:
            groups.setdefault((name.startswith("encoder."), parameter.ndim >= 2), []).append(parameter)
        decay = options.pop("weight_decay")
        learning_rate = options.pop("lr", self.lr)
        return [
            [
                {
                    "params": parameters,
                    "lr": learning_rate if is_encoder else self.head_lr,
                    "weight_decay": decay if is_matrix else 0.0,
                }
                for (is_encoder, is_matrix), parameters in groups.items()
            ]
        ], options

    def infer(self, x, **fit_params):
        """Compute logits under autocast."""
        with autocast(torch.device(self.device), self.precision):
            return super().infer(x, **fit_params)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Compute the criterion on logits, targets and weights."""
        targets, sample_weight = to_tensor(y_true, device=self.device)
        return self.criterion_(y_pred, targets, sample_weight)

    def run_single_epoch(self, *args, **kwargs):
        """Remember an interruption from the keyboard; skorch ends training on it, as it does when a callback stops early."""
        try:
            super().run_single_epoch(*args, **kwargs)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Compute in bfloat16 where that is the precision, and in the parameters' own type where it is float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def train(
    module: nn.Module,
    criterion: nn.Module,
    data: TextDataset,
    validation: TextDataset | None,
    device: torch.device,
    settings: TrainingSettings,
) -> tuple[list[dict[str, float]], bool]:
    """Train ``module`` in place.

    Returns
    -------
    history : list of dict
        One entry per finished epoch; see ``BertLamClassifier.history_``.
    interrupted : bool
        Whether training was stopped from the keyboard.
    """
    net = TextNet(
        module,
        criterion=criterion,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=settings.weight_decay,
        optimizer__fused=True,
        lr=settings.learning_rate,
        head_lr=settings.head_learning_rate,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        iterator_train=TrainingBatches,
        iterator_train__random_state=settings.random_state,
        iterator_valid=ValidationBatches,
        train_split=None if validation is None else predefined_split(validation),
        precision=settings.precision,
        device=str(device),
        callbacks=_callbacks(data, validation, settings),
        callbacks__print_log=None,
        verbose=0,
    )
    try:
        net.fit(data, None)
    finally:
        module.eval()
    if not all(torch.isfinite(parameter).all() for parameter in module.parameters()):
        raise TrainingDivergedError(
            f"Training diverged: some weights are not finite after {len(net.history)} epoch(s). "
            f"Lower learning_rate (it was {settings.learning_rate:g}) or "
            f"head_learning_rate ({settings.head_learning_rate:g})."
        )
    return _history(net.history, len(data)), net.interrupted_


def _callbacks(data: TextDataset, validation: TextDataset | None, settings: TrainingSettings) -> list:
    n_updates = settings.max_epochs * -(-len(data) // settings.batch_size)
    schedule = _WarmupThenLinearDecay(n_updates, settings.warmup_fraction)
    callbacks: list[Any] = [
        ("clip", GradientNormClipping(_MAX_GRADIENT_NORM)),
        ("schedule", LRScheduler(LambdaLR, lr_lambda=schedule, step_every="batch")),
    ]
    if validation is not None:
        callbacks.append(("validation_f1", ValidationF1(settings.threshold)))
    if settings.n_iter_no_change is not None:
        stop = EarlyStopping("valid_loss", patience=settings.n_iter_no_change, load_best=True, sink=noop)
        callbacks.append(("early_stopping", stop))
    if settings.verbose:
        callbacks.append(("progress", Progress(n_updates)))
    return callbacks + list(settings.callbacks or [])


class _WarmupThenLinearDecay:
    """The factor on the learning rates at an update: from 0 up to 1, then down to 0."""

    def __init__(self, n_updates: int, warmup_fraction: float):
        self.n_updates = n_updates
        self.n_warmup = warmup_fraction * n_updates

    def __call__(self, update: int) -> float:
        if update < self.n_warmup:
            return (update + 1) / (self.n_warmup + 1)
        return max(0.0, (self.n_updates - update) / max(1.0, self.n_updates - self.n_warmup))


class ValidationF1(Callback):
    """Record micro-F1 on the validation data of every epoch, from the logits that its loss is computed from."""

    def __init__(self, threshold: float | np.ndarray):
        self.threshold = threshold

    def on_epoch_begin(self, net, **kwargs):
        self.hits_, self.total_ = 0.0, 0.0

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        if training:
            return
        targets = batch[1][0]  # (B, K)
        known = ~torch.isnan(targets)
        predicted = (y_pred.detach().cpu().sigmoid() > torch.as_tensor(self.threshold)) & known
        actual = (targets == 1) & known
        self.hits_ += 2 * (predicted & actual).sum().item()
        self.total_ += predicted.sum().item() + actual.sum().item()

    def on_epoch_end(self, net, **kwargs):
        net.history.record("valid_f1_micro", self.hits_ / self.total_ if self.total_ else 0.0)


class Progress(Callback):
    """A progress bar over all updates, with documents per second and the loss of the last batch."""

    def __init__(self, n_updates: int):
        self.n_updates = n_updates

    def on_train_begin(self, net, **kwargs):
        from tqdm.auto import tqdm

        self.bar_ = tqdm(total=self.n_updates, unit="batch", desc="fit")
        self.documents_ = 0

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        if not training:
            return
        self.documents_ += len(batch[1][1])
        self.bar_.update()
        seconds = self.bar_.format_dict["elapsed"] or 1e-9
        epoch = f"{len(net.history)}/{net.max_epochs}"
        self.bar_.set_postfix(
            {"epoch": epoch, "loss": f"{loss.item():.4f}", "docs/s": f"{self.documents_ / seconds:.1f}"}, refresh=False
        )

    def on_train_end(self, net, **kwargs):
        self.bar_.close()


def _history(history, n_documents: int) -> list[dict[str, float]]:
    """Turn skorch's history into plain dicts, one for each epoch that was finished."""
    finished = [epoch for epoch in history if "dur" in epoch]
    return [
        {
            "epoch": epoch["epoch"],
            "loss": float(epoch["train_loss"]),
            **{key: float(epoch[key]) for key in ("valid_loss", "valid_f1_micro") if key in epoch},
            "seconds": float(epoch["dur"]),
            "documents_per_second": n_documents / max(epoch["dur"], 1e-9),
        }
        for epoch in finished
    ]


def predict_logits(
    module: nn.Module, tokens: RaggedTokens, device: torch.device, precision: torch.dtype, label_vectors: torch.Tensor | None
) -> np.ndarray:
    """Return the logits (n, K) of n tokenized texts, in their order."""
    rows = np.arange(len(tokens))
    return _apply(lambda **batch: module(**batch, label_vectors=label_vectors), tokens, rows, device, precision)


def frozen_outputs(
    function: Callable[..., torch.Tensor], data: TextDataset, device: torch.device, precision: torch.dtype
) -> np.ndarray:
    """Return the outputs (n, ...) of a module's method for the documents of a data set, in half precision."""
    return _apply(function, data.tokens, data.rows, device, precision, dtype=np.float16)


@torch.inference_mode()
def _apply(
    function: Callable[..., torch.Tensor],
    tokens: RaggedTokens,
    rows: np.ndarray,
    device: torch.device,
    precision: torch.dtype,
    dtype: type = np.float32,
) -> np.ndarray:
    """Apply a function of a batch to some of the texts, long ones first, and return the results in the order of ``rows``."""
    result: np.ndarray = np.empty(0, dtype=dtype)
    for indices in by_length(tokens.lengths[rows]):
        batch = to_tensor(pad(tokens, rows[indices]), device=device)
        with autocast(device, precision):
            values = function(**batch).float().cpu().numpy()  # (B, ...)
        if result.size == 0:
            result = np.empty((len(rows), *values.shape[1:]), dtype=dtype)
        result[indices] = values
    return result
