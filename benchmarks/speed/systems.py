# ruff: noqa: D102 - what train, prepare and predict do is said once, in System
"""The systems whose speed is compared. Each knows how to train and how to predict; nothing else differs between them.

This file runs in the environment of the peers too: it imports what a system needs only where the system is made.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the tables: a system with its options, and how many times the documents and labels it gets."""

    title: str
    system: str
    options: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = ("train", "predict")
    precision: str = "best"
    documents: int = 1
    labels: int = 1


_BEST = {"best": True}
ROWS = {
    "ours": Row("BertLamClassifier", "Ours"),
    "ours-cls": Row("BertLamClassifier, attention='cls'", "Ours", {"attention": "cls"}),
    "ours-optimized": Row("BertLamClassifier, optimize_for_inference()", "Ours", {"optimized": True}, ("predict",)),
    "trainer": Row("Trainer as documented", "Trainer", precision="float32"),
    "trainer-best": Row("Trainer at its best switches", "Trainer", _BEST),
    "trainer-no-attention-dropout": Row(
        "Trainer at its best, no attention dropout", "Trainer", _BEST | {"attention_dropout": 0.0}, ("train",)
    ),
    "skorch": Row("skorch + transformers as documented", "Skorch", tasks=("train",), precision="float32"),
    "pipeline": Row("transformers pipeline", "Pipeline", tasks=("predict",), precision="float32"),
    "sentence-transformers": Row("sentence-transformers + OneVsRest(LR)", "SentenceTransformers", tasks=("predict",)),
    "setfit": Row("SetFit", "SetFit", tasks=("predict",), precision="float32"),
    "simpletransformers": Row("simpletransformers", "SimpleTransformers", tasks=("predict",), precision="float32"),
    "ours-10x-documents": Row("BertLamClassifier, documents x 10", "Ours", documents=10),
    "ours-10x-labels": Row("BertLamClassifier, labels x 10", "Ours", labels=10),
}


class System:
    """What the worker asks of a system.

    Parameters
    ----------
    settings : SimpleNamespace
        ``encoder`` (folder or name), ``device``, ``precision``, ``max_length``, ``batch_size``, ``learning_rate``.
    names : list of str
        The text of each label.
    **options : dict
        What the row says.
    """

    switches: tuple[dict[str, Any], ...] = ({},)  # where there are several, the worker tries them and keeps the fastest

    def __init__(self, settings: SimpleNamespace, names: list[str], **options):
        self.settings = settings
        self.names = names
        self.options = options
        self.switch = self.switches[0]

    def train(self, texts: list[str], targets: np.ndarray, clock: Any, seed: int) -> None:
        """Start from the pretrained encoder and go once over the texts, telling the clock of each update."""
        raise NotImplementedError

    def prepare(self, texts: list[str], targets: np.ndarray) -> None:
        """Make a model that can predict, with as little training as possible."""

    def predict(self, texts: list[str]) -> Any:
        """Turn raw texts into probabilities."""
        raise NotImplementedError

    def classifier(self, **options) -> tuple[Any, Any]:
        """Load tokenizer and sequence classifier, as the documentation of transformers has it."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = AutoModelForSequenceClassification.from_pretrained(
            self.settings.encoder,
            num_labels=len(self.names),
            problem_type="multi_label_classification",
            **options,
        )
        return AutoTokenizer.from_pretrained(self.settings.encoder), model


class Ours(System):
    """The estimator of this package at its defaults; the last layer starts at random, as that of the peers does."""

    def _estimator(self, **parameters) -> Any:
        from sklearn_bertlam import BertLamClassifier

        settings = self.settings
        return BertLamClassifier(
            settings.encoder,
            attention=self.options.get("attention", "label-wise"),
            label_names=self.names,
            head_init="random",
            max_length=settings.max_length,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            device=settings.device,
            precision=settings.precision,
            **parameters,
        )

    def train(self, texts, targets, clock, seed):
        # what is learned outside of the updates must not help the loss
        alone = {"word_share": 0.0, "fit_cardinality": False, "threshold": 0.5}
        self.model = self._estimator(max_epochs=1, callbacks=[_skorch_callback(clock)], random_state=seed, **alone)
        self.model.fit(texts, targets)

    def prepare(self, texts, targets):
        self.model = self._estimator(max_epochs=0, random_state=0).fit(texts[:32], targets[:32])
        if self.options.get("optimized"):
            self.model.optimize_for_inference(texts)

    def predict(self, texts):
        return self.model.predict_proba(texts)


class Trainer(System):
    """The Trainer of transformers with its default collator, which pads each batch to its longest text."""

    def __init__(self, settings, names, *, best: bool = False, attention_dropout: float | None = None):
        batches = (settings.batch_size, 4 * settings.batch_size) if settings.device != "cpu" else (settings.batch_size,)
        if best:
            attentions = "sdpa", "eager"
            self.switches = tuple({"attention": kind, "predict_batch": size} for kind in attentions for size in batches)
        super().__init__(settings, names)
        self.best = best
        self.model_options = {} if attention_dropout is None else {"attention_probs_dropout_prob": attention_dropout}

    def _trainer(self, data: list[dict[str, Any]] | None = None, clock: Any = None, seed: int = 0) -> Any:
        import transformers

        class RecordingTrainer(transformers.Trainer):
            def training_step(self, *args, **kwargs):
                loss = super().training_step(*args, **kwargs)
                clock.note(loss)
                return loss

        class Stopwatch(transformers.TrainerCallback):
            def on_step_begin(self, *args, **kwargs):
                clock.start()

            def on_step_end(self, *args, **kwargs):
                clock.tick()

        settings, options, switches = self.settings, dict(self.model_options), {}
        if self.best:
            options["attn_implementation"] = self.switch["attention"]
            is_bfloat16 = settings.precision == "bfloat16"
            switches = {
                "bf16": is_bfloat16,
                "bf16_full_eval": is_bfloat16,
                "train_sampling_strategy": "group_by_length",
                "optim": "adamw_torch_fused",
            }
        transformers.set_seed(seed)
        self.tokenizer, model = self.classifier(**options)
        arguments = transformers.TrainingArguments(
            output_dir=tempfile.gettempdir(),
            learning_rate=settings.learning_rate,
            weight_decay=0.01,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=self.switch.get("predict_batch", settings.batch_size),
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=settings.device == "cpu",
            seed=seed,
            **switches,
        )
        return RecordingTrainer(
            model, arguments, train_dataset=data, processing_class=self.tokenizer, callbacks=[Stopwatch()]
        )

    def train(self, texts, targets, clock, seed):
        from transformers import AutoTokenizer

        data = self._items(AutoTokenizer.from_pretrained(self.settings.encoder), texts)
        for item, target in zip(data, targets, strict=True):
            item["labels"] = target.astype(float).tolist()
        self.model = self._trainer(data, clock, seed)
        self.model.train()

    def prepare(self, texts, targets):
        self.model = self._trainer()

    def predict(self, texts):
        data = self._items(self.tokenizer, texts)
        order = np.arange(len(data))
        if self.best:
            order = np.argsort([-len(item["input_ids"]) for item in data], kind="stable")
        logits = self.model.predict([data[row] for row in order]).predictions.astype(np.float32)
        probabilities = np.empty_like(logits)
        probabilities[order] = 1 / (1 + np.exp(-logits))
        return probabilities

    def _items(self, tokenizer: Any, texts: list[str]) -> list[dict[str, Any]]:
        encoded = tokenizer(texts, truncation=True, max_length=self.settings.max_length)
        return [{key: values[row] for key, values in encoded.items()} for row in range(len(texts))]


class Skorch(System):
    """A pipeline of skorch's tokenizer, which pads all texts to max_length, and a net around transformers' classifier."""

    def train(self, texts, targets, clock, seed):
        import torch
        from sklearn.pipeline import make_pipeline
        from skorch import NeuralNet
        from skorch.callbacks import LRScheduler
        from skorch.hf import HuggingfacePretrainedTokenizer
        from torch.optim.lr_scheduler import LambdaLR

        settings, make = self.settings, self.classifier
        steps = -(-len(texts) // settings.batch_size)

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = make()[1]

            def forward(self, **batch):
                return self.model(**batch).logits

        torch.manual_seed(seed)
        net = NeuralNet(
            Module,
            criterion=torch.nn.BCEWithLogitsLoss,
            optimizer=torch.optim.AdamW,
            lr=settings.learning_rate,
            max_epochs=1,
            batch_size=settings.batch_size,
            train_split=None,
            iterator_train__shuffle=True,
            predict_nonlinearity=torch.sigmoid,
            device=settings.device,
            verbose=0,
            callbacks=[
                LRScheduler(LambdaLR, lr_lambda=lambda step: max(0.0, 1 - step / steps), step_every="batch"),
                _skorch_callback(clock),
            ],
        )
        tokenizer = HuggingfacePretrainedTokenizer(settings.encoder, max_length=settings.max_length)
        self.model = make_pipeline(tokenizer, net).fit(texts, targets.astype(np.float32))

    def predict(self, texts):
        return self.model.predict_proba(texts)


class Pipeline(System):
    """The text-classification pipeline of transformers, in batches and with all labels."""

    def prepare(self, texts, targets):
        from transformers import pipeline

        tokenizer, model = self.classifier()
        self.model = pipeline("text-classification", model=model, tokenizer=tokenizer, device=self.settings.device)

    def predict(self, texts):
        return self.model(
            texts,
            batch_size=self.settings.batch_size,
            top_k=None,
            function_to_apply="sigmoid",
            truncation=True,
            max_length=self.settings.max_length,
        )


class SentenceTransformers(System):
    """Frozen sentence embeddings, in the precision of this package, and a logistic regression per label."""

    def prepare(self, texts, targets):
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        options = {"dtype": self.settings.precision}
        self.model = SentenceTransformer(self.settings.encoder, device=self.settings.device, model_kwargs=options)
        self.model.max_seq_length = self.settings.max_length
        self.head = OneVsRestClassifier(LogisticRegression()).fit(self._vectors(texts), targets)

    def _vectors(self, texts: list[str]) -> np.ndarray:
        return self.model.encode(texts, batch_size=self.settings.batch_size, show_progress_bar=False)

    def predict(self, texts):
        return self.head.predict_proba(self._vectors(texts))


class SetFit(System):
    """SetFit as a user applies it; its embeddings are left as they were, which costs the same."""

    def prepare(self, texts, targets):
        from setfit import SetFitModel  # type: ignore[import-not-found]

        settings = self.settings
        self.model = SetFitModel.from_pretrained(
            settings.encoder, multi_target_strategy="one-vs-rest", device=settings.device, local_files_only=True
        )
        self.model.model_body.max_seq_length = settings.max_length
        self.model.fit(texts, targets.tolist(), num_epochs=1)

    def predict(self, texts):
        return self.model.predict_proba(texts, batch_size=self.settings.batch_size, as_numpy=True, show_progress_bar=False)


class SimpleTransformers(System):
    """The multi-label model of simpletransformers at its defaults, but for files and the size of a batch."""

    def prepare(self, texts, targets):
        from simpletransformers.classification import MultiLabelClassificationModel  # type: ignore[import-not-found]
        from transformers import AutoConfig, AutoTokenizer

        place, settings = tempfile.gettempdir(), self.settings
        self.model = MultiLabelClassificationModel(
            AutoConfig.from_pretrained(settings.encoder).model_type,
            settings.encoder,
            num_labels=len(self.names),
            use_cuda=settings.device != "cpu",
            args={
                "max_seq_length": settings.max_length,
                "eval_batch_size": settings.batch_size,
                "do_lower_case": getattr(AutoTokenizer.from_pretrained(settings.encoder), "do_lower_case", False),
                "silent": True,
                "no_save": True,
                "no_cache": True,
                "output_dir": place,
                "cache_dir": place,
            },
        )

    def predict(self, texts):
        return self.model.predict(texts)[1]


def _skorch_callback(clock: Any) -> Any:
    from skorch.callbacks import Callback

    class Stopwatch(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if training:
                clock.start()

        def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
            if training:
                clock.note(loss)
                clock.tick()

    return Stopwatch()
