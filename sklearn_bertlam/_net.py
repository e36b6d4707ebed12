"""Training and applying a module over texts. The only file that imports skorch.

This file knows batches, learning rates and callbacks, and nothing of labels' names or of scikit-learn's conventions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from skorch.utils import noop, to_tensor
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ._batches import PackedTexts, TextDataset, TextRows, TrainingBatches, ValidationBatches
from ._distributed import add_up, n_processes, process_index, use_own_random_stream
from ._runtime import is_out_of_memory, kept_memory
from ._tokens import RaggedTokens
from .exceptions import LessMemoryWarning, OutOfMemoryError, TrainingDivergedError

_TOKENS_AT_ONCE = {"cpu": 4096}  # more is no faster there, and needs more memory
_MOST_TOKENS_AT_ONCE = 2**16


class TrainingSettings(NamedTuple):
    """How a module is trained."""

    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup_fraction: float
    max_gradient_norm: float
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

    most_tokens_: int
    prepared_: dict[str, Any]

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

    def train_step_single(self, batch, **fit_params):
        """Add up the gradient of a batch, in parts that fit into memory and over all processes.

        A module that ``reads_targets`` is given them, and one with a ``penalty()`` has it added to every loss.
        """
        texts, (targets, sample_weight) = batch
        self._set_training(True)
        if self._has("start_update"):
            self.module_.start_update()

        def gradient(most_tokens: int) -> dict[str, torch.Tensor]:
            self._zero_grad_optimizer()
            loss, outputs = torch.zeros((), device=self.device), []
            for part, packed in texts.parts(most_tokens):
                known = {"targets": targets[part].to(self.device)} if self._has("reads_targets") else {}
                output = self.infer(packed, **known, **fit_params)
                part_loss = self.get_loss(output, (targets[part], sample_weight[part]), training=True)
                part_loss = part_loss * (len(packed) / len(texts))
                part_loss.backward()
                loss += part_loss.detach()
                outputs.append(output.detach())
            return {"loss": loss, "y_pred": torch.cat(outputs) if outputs else torch.empty_like(targets)}

        step = self._within_memory(gradient, texts)
        self._add_up_over_processes(step, len(texts))
        return step

    def _add_up_over_processes(self, step: dict[str, torch.Tensor], n_texts: int) -> None:
        if n_processes() == 1:
            return
        trained = [parameter for parameter in self.module_.parameters() if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:  # no text of this batch fell to this process
                parameter.grad = torch.zeros_like(parameter)
        total = torch.tensor(float(n_texts), device=self.device)
        add_up([total])
        sums = [step["loss"], *(parameter.grad for parameter in trained)]
        for tensor in sums:
            tensor.mul_(n_texts / total)
        add_up(sums)

    def validation_step(self, batch, **fit_params):
        """Compute the loss of a batch, in parts that fit into memory."""
        texts, y = batch
        self._set_training(False)

        @torch.inference_mode()
        def outputs(most_tokens: int) -> torch.Tensor:
            parts = texts.parts(most_tokens)
            return torch.cat([self.infer(packed, **self.prepared_, **fit_params) for _, packed in parts])

        y_pred = self._within_memory(outputs, texts)
        return {"loss": self.get_loss(y_pred, y), "y_pred": y_pred}

    def _within_memory(self, function: Callable[[int], Any], texts: TextRows) -> Any:
        """Call a function with the most tokens to compute on at once, and with half as many where memory runs out."""
        self.most_tokens_, result = within_memory(function, self.most_tokens_, texts)
        return result

    def infer(self, x, **fit_params):
        """Compute logits under autocast."""
        device = torch.device(self.device)
        with autocast(device, self.precision):
            return self.module_(x.to(device), **fit_params)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Compute the criterion on logits, targets and weights."""
        targets, sample_weight = to_tensor(y_true, device=self.device)
        loss = self.criterion_(y_pred, targets, sample_weight)
        return loss + self.module_.penalty() if training and self._has("penalty") else loss

    def _has(self, name: str) -> bool:
        return bool(getattr(self.module_, name, False))

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Prepare the module for validation, and remember an interruption from the keyboard.

        skorch ends training on it, as it does when a callback stops early.
        """
        try:
            if not training and iterator is not None:
                self._set_training(False)
                self.prepared_ = prepared(self.module_, torch.device(self.device), self.precision)
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Compute in bfloat16 where that is the precision, and in the parameters' own type where it is float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def prepared(module: Any, device: torch.device, precision: torch.dtype, make_linear: Any = None) -> dict[str, Any]:
    """Return what a module wants to be given with every batch of a prediction."""
    if not hasattr(module, "prepare"):
        return {}
    with torch.inference_mode(), autocast(device, precision):
        return {"prepared": module.prepare() if make_linear is None else module.prepare(make_linear)}


def tokens_at_once(module: Any, device: torch.device, training: bool) -> int:
    """Return how many tokens to compute on at once: the module's own number, a fixed one on a CPU, or what memory allows."""
    if hasattr(module, "tokens_at_once"):
        return module.tokens_at_once
    if device.type in _TOKENS_AT_ONCE:
        return _TOKENS_AT_ONCE[device.type]
    config = module.encoder.config
    layers = getattr(config, "num_hidden_layers", 12) if training else 2
    bytes_per_token = 4 * layers * 24 * config.hidden_size  # generous
    free, _ = torch.cuda.mem_get_info(device)
    return int(np.clip(free // 2 // bytes_per_token, 2048, _MOST_TOKENS_AT_ONCE))


def within_memory(function: Callable[[int], Any], most_tokens: int, texts: TextRows) -> tuple[int, Any]:
    """Call a function with a number of tokens to compute on at once, and with half of it as long as memory runs out.

    Returns
    -------
    most_tokens : int
        The number that went well.
    result : object
        What the function returned.

    Raises
    ------
    OutOfMemoryError
        If memory does not suffice for the longest text alone.
    """
    longest = int(texts.tokens.lengths[texts.rows].max(initial=1))
    while True:
        try:
            return most_tokens, function(most_tokens)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if most_tokens <= longest:
                raise OutOfMemoryError(
                    f"Out of memory with a single text of {longest} tokens. "
                    "Lower max_length, use a smaller encoder, or free memory on the device."
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        halved = max(most_tokens // 2, longest)
        warnings.warn(
            f"Out of memory with {most_tokens} tokens at once; going on with {halved}. The result stays the same.",
            LessMemoryWarning,
            stacklevel=2,
        )
        most_tokens = halved


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
        iterator_train__process=process_index(),
        iterator_train__n_processes=n_processes(),
        iterator_valid=ValidationBatches,
        train_split=None if validation is None else predefined_split(validation),
        precision=settings.precision,
        device=str(device),
        callbacks=_callbacks(data, validation, settings),
        callbacks__print_log=None,
        verbose=0,
    )
    net.most_tokens_ = tokens_at_once(module, device, training=True)
    use_own_random_stream()
    try:
        with kept_memory(device):
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
        ("clip", GradientNormClipping(settings.max_gradient_norm)),
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


def predict_scores(
    module: nn.Module,
    tokens: RaggedTokens,
    device: torch.device,
    precision: torch.dtype,
    shared: dict[str, Any],
    method: str = "__call__",
) -> np.ndarray:
    """Return what a method of the module, its logits by default, gives for n tokenized texts (n, K), in their order.

    ``shared`` comes from ``prepared``.
    """
    function = partial(getattr(module, method), **shared)
    return _apply(function, tokens, np.arange(len(tokens)), module, device, precision)


def frozen_outputs(
    function: Callable[[PackedTexts], torch.Tensor],
    data: TextDataset,
    module: nn.Module,
    device: torch.device,
    precision: torch.dtype,
) -> np.ndarray:
    """Return the outputs (n, ...) of a module's method for the documents of a data set, in half precision."""
    return _apply(function, data.tokens, data.rows, module, device, precision, dtype=np.float16)


def _apply(
    function: Callable[[PackedTexts], torch.Tensor],
    tokens: RaggedTokens,
    rows: np.ndarray,
    module: nn.Module,
    device: torch.device,
    precision: torch.dtype,
    dtype: type = np.float32,
) -> np.ndarray:
    """Apply a function of a batch to some of the texts, long ones first, and return the results in the order of ``rows``."""
    order = np.argsort(-tokens.lengths[rows], kind="stable")
    texts = TextRows(tokens, rows[order])
    result: np.ndarray = np.empty(0, dtype=dtype)

    @torch.inference_mode()
    def outputs(most_tokens: int) -> np.ndarray:
        nonlocal result
        for part, batch in texts.parts(most_tokens):
            with autocast(device, precision):
                values = function(batch.to(device)).float().cpu().numpy()  # (B, ...)
            if result.size == 0:
                result = np.empty((len(rows), *values.shape[1:]), dtype=dtype)
            result[order[part]] = values
        return result

    most_tokens = tokens_at_once(module, device, training=False)
    with kept_memory(device) if tokens.lengths[rows].sum() > most_tokens else nullcontext():
        return within_memory(outputs, most_tokens, texts)[1]
