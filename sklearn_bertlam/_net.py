"""Training a module over texts. The only file that imports skorch.

This file knows batches, learning rates and callbacks, and nothing of labels' names or of scikit-learn's conventions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import expit
from sklearn.metrics import average_precision_score
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from skorch.utils import to_tensor
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ._batches import TextDataset, TextRows, TrainingBatches
from ._checkpoints import CheckpointFile, random_states, restore_random_state
from ._distributed import add_up, agreed, copy_from_first, n_processes, process_index, use_own_random_stream
from ._embedding_rows import only_rows_in_use
from ._prediction import autocast, network_scores, tokens_at_once, within_memory
from ._runtime import kept_memory
from ._text_module import TextModule
from .exceptions import TrainingDivergedError

_SECONDS_BETWEEN_CHECKPOINTS = 600
_MOST_ENTRIES_TO_WATCH = 2**24  # texts times labels that are scored after every epoch


class Training(NamedTuple):
    """What came out of training."""

    history: list[dict[str, float]]
    """One entry per finished epoch; see ``BertLamClassifier.history_``."""
    best_epoch: int
    """The epoch whose weights the module has; 0 for those that training started with."""
    interrupted: bool
    """Whether training was stopped from the keyboard."""


class TrainingSettings(NamedTuple):
    """How a module is trained."""

    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup_fraction: float
    max_gradient_norm: float
    batch_size: int
    max_epochs: int
    n_iter_no_change: int
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
        """Add up the gradient of a batch, in parts that fit into memory and over all processes."""
        texts, (targets, sample_weight) = batch
        self._set_training(True)
        self.module_.start_update()

        def gradient(most_tokens: int) -> dict[str, torch.Tensor]:
            self._zero_grad_optimizer()
            loss, outputs = torch.zeros((), device=self.device), []
            for part, packed in texts.parts(most_tokens, self.module_.values_per_text):
                known = {"targets": targets[part].to(self.device)} if self.module_.reads_targets else {}
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
        return loss + self.module_.penalty() if training else loss

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Go through the training texts once."""
        with _noting_interruption(self):
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)


@contextmanager
def _noting_interruption(net: TextNet) -> Iterator[None]:
    """Remember an interruption from the keyboard; skorch ends training on it, as it does when a callback stops early."""
    try:
        yield
    except KeyboardInterrupt:
        net.interrupted_ = True
        raise


def train(
    module: TextModule,
    criterion: nn.Module,
    data: TextDataset,
    validation: TextDataset | None,
    device: torch.device,
    settings: TrainingSettings,
    checkpoints: Checkpoints | None = None,
) -> Training:
    """Train ``module`` in place. With validation data, stop early and keep the best weights."""
    with kept_memory(device), only_rows_in_use(module, data, validation) as (data, validation):
        training = _train(module, criterion, data, validation, device, settings, checkpoints)
    if not all(torch.isfinite(parameter).all() for parameter in module.parameters()):
        raise TrainingDivergedError(_diverged(len(training.history), settings))
    return training


def _diverged(n_epochs: int, settings: TrainingSettings) -> str:
    return (
        f"Training diverged: some weights are not finite after {n_epochs} epoch(s). "
        f"Lower learning_rate (it was {settings.learning_rate:g}) or head_learning_rate ({settings.head_learning_rate:g})."
    )


def _train(
    module: TextModule,
    criterion: nn.Module,
    data: TextDataset,
    validation: TextDataset | None,
    device: torch.device,
    settings: TrainingSettings,
    checkpoints: Checkpoints | None,
) -> Training:
    n_updates = settings.max_epochs * -(-len(data) // settings.batch_size)
    stopping = None if validation is None else StopEarly(validation, settings)
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
        train_split=None,
        precision=settings.precision,
        device=str(device),
        iterator_train__skipped=None if checkpoints is None else checkpoints.skipped,
        callbacks=_callbacks(n_updates, stopping, settings, checkpoints),
        callbacks__print_log=None,
        verbose=0,
    )
    net.most_tokens_ = tokens_at_once(module, device, training=True)
    use_own_random_stream()
    copy_from_first(module.state_dict().values())
    try:
        net.fit(data, None)
    finally:
        module.eval()
        module.zero_grad()  # gradients take as much memory as the weights
    history = _history(net.history, len(data))
    return Training(history, len(history) if stopping is None else stopping.best_epoch_, net.interrupted_)


def _callbacks(
    n_updates: int, stopping: StopEarly | None, settings: TrainingSettings, checkpoints: Checkpoints | None
) -> list:
    schedule = _WarmupThenLinearDecay(n_updates, settings.warmup_fraction)
    callbacks: list[Any] = [
        ("clip", GradientNormClipping(settings.max_gradient_norm)),
        ("schedule", LRScheduler(LambdaLR, lr_lambda=schedule, step_every="batch")),
    ]
    if stopping is not None:
        callbacks.append(("early_stopping", stopping))
    if checkpoints is not None:
        callbacks.append(("checkpoints", checkpoints.of(stopping, settings)))
    if settings.verbose:
        callbacks.append(("progress", Progress(n_updates, settings.max_epochs)))
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


class StopEarly(Callback):
    """Score the held-out texts after every epoch, stop when that no longer helps, and put the best weights back.

    The best are those with the highest average precision over all entries (micro), which needs no threshold and, unlike the
    loss, does not mind a network that is too sure of itself; where no held-out text has a label, those with the lowest
    loss. The weights that training starts with are among them. Where there are very many texts and labels, every n-th text
    is scored.

    Parameters
    ----------
    validation : TextDataset
        The held-out texts.
    settings : TrainingSettings
        The number of epochs without improvement to stop after, and the threshold that F1 is recorded at.
    """

    def __init__(self, validation: TextDataset, settings: TrainingSettings):
        step = -(-len(validation) * validation.targets.shape[1] // _MOST_ENTRIES_TO_WATCH)
        self.validation = validation.part(np.arange(0, len(validation), max(1, step)))
        self.settings = settings

    def on_train_begin(self, net, **kwargs):
        self.best_epoch_ = self.epoch_ = 0
        self.best_weights_ = _copy_of_weights(net.module_)
        self.best_score_ = self._quality(self._scores(net))

    def on_epoch_begin(self, net, **kwargs):
        if self.epoch_ - self.best_epoch_ >= self.settings.n_iter_no_change:
            net.history.pop()  # the epoch that does not begin
            raise KeyboardInterrupt  # the way to end training in skorch

    def on_epoch_end(self, net, **kwargs):
        self.epoch_ += 1
        with _noting_interruption(net):
            scores = self._scores(net)
        for name, value in scores.items():
            net.history.record(name, value)
        quality = self._quality(scores)
        if quality > self.best_score_:
            self.best_score_, self.best_epoch_ = quality, self.epoch_
            self.best_weights_ = _copy_of_weights(net.module_)

    def on_train_end(self, net, **kwargs):
        if self.best_epoch_ != self.epoch_ or net.interrupted_:
            net.module_.load_state_dict(self.best_weights_)
        self.best_weights_ = None

    def _quality(self, scores: dict[str, float]) -> float:
        precision = scores["valid_average_precision"]
        return -scores["valid_loss"] if np.isnan(precision) else precision

    def _scores(self, net) -> dict[str, float]:
        net.module_.eval()
        logits = network_scores(net.module_, self.validation, torch.device(net.device), net.precision)
        targets = self.validation.known_targets.toarray()
        weights = self.validation.sample_weight[self.validation.rows]
        loss = net.get_loss(torch.from_numpy(logits).to(net.device), (targets, weights))
        if not np.isfinite(logits).all():
            raise TrainingDivergedError(_diverged(len(net.history), self.settings))
        known = ~np.isnan(targets) & (weights[:, None] > 0)
        weights = np.broadcast_to(weights[:, None], known.shape)[known]
        actual, predicted = targets[known] == 1, (expit(logits) > self.settings.threshold)[known]
        hits, total = float(weights @ (actual & predicted)), float(weights @ actual + weights @ predicted)
        precision = average_precision_score(actual, logits[known], sample_weight=weights) if actual.any() else np.nan
        return {
            "valid_loss": agreed(float(loss), torch.device(net.device)),
            "valid_f1_micro": 2 * hits / total if total else 0.0,
            "valid_average_precision": agreed(float(precision), torch.device(net.device)),
        }


def _copy_of_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


class Checkpoints(Callback):
    """Save everything that training needs to go on, after every epoch and every few minutes, and go on from there.

    Parameters
    ----------
    file : CheckpointFile
        Where to save.
    facts : dict
        What else is saved.
    saved : dict or None
        What was saved by the training that goes on.
    """

    def __init__(self, file: CheckpointFile, facts: dict[str, Any], saved: dict[str, Any] | None):
        self.file = file
        self.facts = facts
        self.saved = saved
        self.skipped = [saved["n_batches"]] if saved else []

    def of(self, stopping: StopEarly | None, settings: TrainingSettings) -> Checkpoints:
        """Say which training it is."""
        self.stopping, self.settings = stopping, settings
        return self

    def on_train_begin(self, net, **kwargs):
        self.time_, self.n_batches_ = time.monotonic(), 0
        if self.saved is None:
            return
        net.module_.load_state_dict(self.saved["module"])
        net.optimizer_.load_state_dict(self.saved["optimizer"])
        _scheduler(net).last_epoch = self.saved["n_updates"]
        net.module_.restore_progress(_to(self.saved["progress"], net.device))
        if self.stopping is not None:
            vars(self.stopping).update(_to(self.saved["stopping"], net.device))
        history = json.loads(self.saved["history"])
        for epoch in history:
            net.history.append(epoch)
        net.max_epochs = self.settings.max_epochs - len(history)

    def on_epoch_begin(self, net, **kwargs):
        if self.saved is not None:
            restore_random_state(self.settings.random_state, self.saved["order"])
            torch.set_rng_state(self.saved["torch"])
            if self.saved["cuda"] is not None and torch.device(net.device).type == "cuda":
                torch.cuda.set_rng_state(self.saved["cuda"], net.device)
            self.n_batches_ = self.saved["n_batches"]
            net.history[-1]["batches"].extend(json.loads(self.saved["batches"]))
            self.saved = None
        else:
            self.n_batches_ = 0
        self.order_ = random_states(self.settings.random_state)

    def on_batch_end(self, net, training=False, **kwargs):
        self.n_batches_ += 1
        if time.monotonic() - self.time_ > _SECONDS_BETWEEN_CHECKPOINTS:
            self._save(net)

    def on_epoch_end(self, net, **kwargs):
        self.order_ = random_states(self.settings.random_state)
        self.n_batches_ = 0
        with _noting_interruption(net):
            self._save(net)

    def _save(self, net) -> None:
        self.time_ = time.monotonic()
        finished = [_plain_epoch(epoch) for epoch in net.history if "dur" in epoch]
        batches = net.history[-1]["batches"] if self.n_batches_ else []
        stopping = self.stopping
        self.file.write(
            {
                **self.facts,
                "module": net.module_.state_dict(),
                "optimizer": net.optimizer_.state_dict(),
                "n_updates": _scheduler(net).last_epoch,
                "progress": net.module_.progress(),
                "stopping": None if stopping is None else {k: v for k, v in vars(stopping).items() if k.endswith("_")},
                "history": json.dumps(finished),
                "batches": json.dumps([_plain(batch) for batch in batches]),
                "n_batches": self.n_batches_,
                "order": self.order_,
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state(net.device) if torch.device(net.device).type == "cuda" else None,
            }
        )


def _scheduler(net) -> Any:
    return dict(net.callbacks_)["schedule"].lr_scheduler_


def _plain_epoch(epoch: dict[str, Any]) -> dict[str, Any]:
    return {**_plain({key: value for key, value in epoch.items() if key != "batches"}), "batches": []}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.item() if hasattr(value, "item") else value for key, value in values.items()}


def _to(values: dict[str, Any], device: str) -> dict[str, Any]:
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in values.items()}


class Progress(Callback):
    """A progress bar over all updates, with documents per second and the loss of the last batch."""

    def __init__(self, n_updates: int, n_epochs: int):
        self.n_updates = n_updates
        self.n_epochs = n_epochs

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
        epoch = f"{len(net.history)}/{self.n_epochs}"
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
            **{key: float(epoch[key]) for key in epoch if key.startswith("valid_") and not key.endswith("_best")},
            "seconds": float(epoch["dur"]),
            "documents_per_second": n_documents / max(epoch["dur"], 1e-9),
        }
        for epoch in finished
    ]
