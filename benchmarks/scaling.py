"""More than one machine, measured on this one and calculated for larger ones.

``python -m benchmarks.scaling --arithmetic`` prints bytes and FLOPs and measures nothing.
``python -m benchmarks.scaling --measure --out docs/results/scaling`` measures 1 -> 2 processes on this machine and writes
``scaling.md`` and ``scaling.json`` with both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .command_line import positive, positive_number, report_path, shown
from .output import report

MEASURED = ("one process, 2 threads", "1 Dask worker, 1 thread", "2 Dask workers, 1 thread each")
TRAINED = {"one process, 2 threads": (1, 2), "one process, 1 thread": (1, 1), "two processes, 1 thread each": (2, 1)}


# ---------------------------------------------------------------------------------------------------------- the arithmetic


@dataclass(frozen=True)
class Encoder:
    """The sizes of a BERT, from which its work and its weights follow."""

    layers: int
    width: int  # H
    feed_forward: int  # 4 H in every BERT here
    vocabulary: int = 30_522
    positions: int = 512

    @property
    def parameters(self) -> int:
        """Count the weights: embeddings, and per layer four H x H, two H x 4H, their biases and two layer norms."""
        h, f = self.width, self.feed_forward
        embeddings = (self.vocabulary + self.positions + 2) * h + 2 * h
        return embeddings + self.layers * (4 * h * h + 4 * h + 2 * h * f + f + h + 4 * h)

    def flops_per_token(self, length: int) -> int:
        """Count the operations of a forward pass, two for each multiply-add.

        Per layer 4 H^2 multiply-adds in the projections of attention, 2 H (4H) = 8 H^2 in the feed-forward part, L H for
        the scores with L tokens and L H for their weighted sum: 24 H^2 + 4 L H operations.
        """
        h, f = self.width, self.feed_forward
        return self.layers * (8 * h * h + 4 * h * f + 4 * length * h)

    def training_flops_per_token(self, length: int) -> int:
        """Count forward and backward: the backward pass has two products for each of the forward pass."""
        return 3 * self.flops_per_token(length)


ENCODERS = {
    "MiniLM-L6": Encoder(6, 384, 1536),
    "BERT-base": Encoder(12, 768, 3072),
    "BERT-large": Encoder(24, 1024, 4096),
}


def all_reduce_bytes(n_workers: int, parameters: int) -> float:
    """Return what every worker sends, and receives, per step of a ring all-reduce of float32 gradients."""
    return 2 * (n_workers - 1) / n_workers * 4 * parameters


def document_bytes(documents: float, tokens: float, labels: int) -> dict[str, float]:
    """Return what a collection takes: ragged int32 ids with int64 offsets, and float32 probabilities."""
    return {"token ids": 4 * documents * tokens, "offsets": 8 * documents, "probabilities": 4 * documents * labels}


def training_arithmetic(options: argparse.Namespace) -> str:
    """Lay out one step of data-parallel training: seconds of computation, and of the all-reduce."""
    lines = [
        f"One step of {options.batch_size} documents of {options.tokens} tokens on each of {options.gpus} GPUs, "
        f"{options.tflops:g} TFLOP/s each, used to {options.utilisation:.0%}; gradients over {options.bandwidth:g} GB/s "
        f"within a machine and {options.network:g} GB/s between machines, in either direction.",
        "",
        "| encoder | parameters | FLOPs per token | TFLOPs per GPU and step | compute, ms | gradients, MB per GPU and step "
        "| within a machine, ms | between machines, ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, encoder in ENCODERS.items():
        per_token = encoder.training_flops_per_token(options.tokens)
        flops = per_token * options.tokens * options.batch_size
        sent = all_reduce_bytes(options.gpus, encoder.parameters)
        lines.append(
            f"| {name} | {encoder.parameters / 1e6:.1f} M | {per_token / 1e6:.0f} M | {flops / 1e12:.2f} "
            f"| {1e3 * flops / (1e12 * options.tflops * options.utilisation):.1f} | {sent / 1e6:.0f} "
            f"| {sent / 1e6 / options.bandwidth:.2f} | {sent / 1e6 / options.network:.1f} |"
        )
    return "\n".join(lines)


def prediction_arithmetic(options: argparse.Namespace) -> str:
    """Lay out the prediction of a large collection: bytes to hold and to write, FLOPs, and hours."""
    sizes = document_bytes(options.documents, options.tokens, options.labels)
    described = ", ".join(f"{name} {size / 1e9:,.0f} GB" for name, size in sizes.items())
    lines = [
        f"{options.documents:,.0f} documents of {options.tokens} tokens, {options.labels} labels: {described}. "
        f"Per million documents: {sum(sizes.values()) / options.documents * 1e6 / 1e9:.2f} GB.",
        "",
        "The encoder's work alone, an upper bound: reading, tokenizing and writing have to keep up with it.",
        "",
        f"| encoder | GFLOPs per document | EFLOPs in all | hours on {options.gpus} GPUs | documents/s per GPU |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, encoder in ENCODERS.items():
        flops = encoder.flops_per_token(options.tokens) * options.tokens
        per_second = 1e12 * options.tflops * options.utilisation / flops
        hours = options.documents / per_second / options.gpus / 3600
        lines.append(
            f"| {name} | {flops / 1e9:.2f} | {flops * options.documents / 1e18:.1f} | {hours:.1f} | {per_second:,.0f} |"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------- measurements


def measure_scoring(options: argparse.Namespace) -> dict[str, Any]:
    """Measure Parquet -> probabilities -> Parquet, in turn with one process and with Dask workers.

    Returns
    -------
    results : dict
        "documents", "partitions", and "documents_per_second": arrangement -> one for each repetition. One more comes first
        and does not count, and all workers have loaded the model before it.
    """
    import joblib
    from distributed import Client, LocalCluster

    classifier = _classifier(options)
    rates: dict[str, list[float]] = {name: [] for name in MEASURED}
    with tempfile.TemporaryDirectory() as folder, LocalCluster(**_workers(1)) as one, LocalCluster(**_workers(2)) as two:
        model, source, out = Path(folder) / "clf.joblib", Path(folder) / "in", Path(folder) / "out"
        joblib.dump(classifier, model)
        n_documents = _write_partitions(_texts(options), source, options.partitions)
        with Client(one, set_as_default=False) as first, Client(two, set_as_default=False) as second:
            for client in (first, second):
                client.run(_load_on_worker, str(model))
            arrangements: dict[str, Callable[[], None]] = {
                MEASURED[0]: lambda: _score_here(classifier, source, out),
                MEASURED[1]: lambda: _score_with_dask(first, model, source, out),
                MEASURED[2]: lambda: _score_with_dask(second, model, source, out),
            }
            for repetition in range(options.repeats + 1):
                for name, score in arrangements.items():
                    start = time.perf_counter()
                    score()
                    rate = n_documents / (time.perf_counter() - start)
                    print(f"... {name}: {rate:.1f} documents/s{'' if repetition else ' (warm-up)'}", flush=True)
                    if repetition:
                        rates[name].append(rate)
    return {"documents": n_documents, "partitions": options.partitions, "documents_per_second": rates}


def measure_training(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one epoch of training in one process and, started by torchrun, in two.

    Returns
    -------
    results : dict
        As of ``measure_scoring``: "documents" and "documents_per_second", arrangement -> every repetition.
    """
    rates: dict[str, list[float]] = {name: [] for name in TRAINED}
    with tempfile.TemporaryDirectory() as folder:
        task, out = Path(folder) / "task.json", Path(folder) / "rate.json"
        content = {"texts": _texts(options), "encoder": options.encoder, "max_length": options.max_length}
        task.write_text(json.dumps(content), encoding="utf-8")
        for _ in range(options.repeats):
            for name, (n_processes, n_threads) in TRAINED.items():
                launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
                command = [*launcher, "-m", "benchmarks.scaling_train", str(task), str(out)]
                threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(n_threads))  # Dask has set both to 1
                subprocess.run(command, check=True, env=os.environ | threads)
                rates[name].append(json.loads(out.read_text(encoding="utf-8")))
                print(f"... training, {name}: {rates[name][-1]:.1f} documents/s", flush=True)
    return {"documents": len(content["texts"]), "documents_per_second": rates}


def _workers(number: int) -> dict[str, Any]:
    return {"n_workers": number, "threads_per_worker": 1, "dashboard_address": ":0"}


def _classifier(options: argparse.Namespace) -> Any:
    """Make a classifier quickly: how well it predicts does not change how long it takes."""
    from sklearn_bertlam import BertLamClassifier
    from sklearn_bertlam.datasets import load_support_requests

    requests = load_support_requests(subset="train")
    clf = BertLamClassifier(
        options.encoder,
        label_names=requests.label_descriptions,
        max_length=options.max_length,
        max_epochs=0,
        head_init="random",
        threshold=0.5,
        random_state=0,
    )
    return clf.fit(requests.data, requests.target)


def _texts(options: argparse.Namespace) -> list[str]:
    from sklearn_bertlam.datasets import load_jsonl_dir, load_support_requests

    texts = load_support_requests().data if options.data is None else load_jsonl_dir(options.data).train.data
    return texts[: options.limit]


def _write_partitions(texts: list[str], folder: Path, n_partitions: int) -> int:
    import numpy as np
    import pandas as pd

    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(texts)), n_partitions)):
        pd.DataFrame({"text": [texts[row] for row in rows]}).to_parquet(folder / f"{number:05}.parquet", index=False)
    return len(texts)


def _score_here(classifier: Any, source: Path, out: Path) -> None:
    import pandas as pd
    import torch

    frame = pd.read_parquet(source)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        probabilities = classifier.predict_proba(frame["text"])
    finally:
        torch.set_num_threads(before)
    out.mkdir(exist_ok=True)
    scores = pd.DataFrame(probabilities, columns=classifier.classes_)
    pd.concat([frame, scores], axis=1).to_parquet(out / "part.0.parquet", index=False)


def _load_on_worker(model: str) -> None:
    """Load the model into this process before time is taken, as any partition would."""
    from sklearn_bertlam.distributed import _load, _SavedModel

    _load(_SavedModel.at(model)).predict_proba(["warm up"])


def _score_with_dask(client: Any, model: Path, source: Path, out: Path) -> None:
    from sklearn_bertlam.distributed import predict_proba_parquet

    with client.as_current():
        predict_proba_parquet(model, source, out, threads_per_worker=1, overwrite=True)


# -------------------------------------------------------------------------------------------------------------- the command


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    options = _parse(arguments)
    arithmetic = f"### Training\n\n{training_arithmetic(options)}\n\n### Prediction\n\n{prediction_arithmetic(options)}\n"
    if not options.measure:
        print(arithmetic)
        return
    command = shown("scaling", sys.argv[1:] if arguments is None else arguments)
    results = {"scoring": measure_scoring(options), "training": measure_training(options)}
    parts = ["# 1 -> 2 processes", f"`{command}`", f"{os.cpu_count()} cores. {_settings(options)}"]
    for title, measured in results.items():
        parts += [f"## {title.capitalize()}", _table(measured)]
    text = "\n\n".join([*parts, "## The arithmetic", arithmetic])
    report(text, options.out, {"command": command, "cores": os.cpu_count(), **results})


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--arithmetic", action="store_true", help="calculate only")
    what.add_argument("--measure", action="store_true", help="measure 1 -> 2 processes on this machine, and calculate")
    parser.add_argument("--out", type=report_path, help="where measurements go: OUT.md and OUT.json")

    measured = parser.add_argument_group("measurement")
    measured.add_argument("--data", type=Path, help="folder of JSON lines (default: the support requests)")
    measured.add_argument("--limit", type=positive, help="use only so many documents")
    measured.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="name or folder")
    measured.add_argument(
        "--max-length", type=positive, default=128, help="tokens of a document at most (default: %(default)s)"
    )
    measured.add_argument("--partitions", type=positive, default=8, help="Parquet files (default: %(default)s)")
    measured.add_argument("--repeats", type=positive, default=5, help="measured repetitions (default: %(default)s)")

    assumed = parser.add_argument_group("arithmetic")
    assumed.add_argument("--tokens", type=positive, default=128, help="tokens per document (default: %(default)s)")
    assumed.add_argument("--labels", type=positive, default=54, help="labels (default: %(default)s)")
    assumed.add_argument(
        "--documents", type=positive_number, default=1e9, help="documents to predict (default: %(default)g)"
    )
    assumed.add_argument("--gpus", type=positive, default=8, help="GPUs (default: %(default)s)")
    assumed.add_argument("--batch-size", type=positive, default=32, help="documents per GPU and step (default: %(default)s)")
    assumed.add_argument(
        "--tflops", type=positive_number, default=989, help="dense bf16 peak of a GPU (default: an H200's %(default)s)"
    )
    assumed.add_argument(
        "--utilisation", type=positive_number, default=0.45, help="assumed part of the peak (default: %(default)s)"
    )
    assumed.add_argument(
        "--bandwidth", type=positive_number, default=450, help="GB/s between GPUs of a machine (default: %(default)s)"
    )
    assumed.add_argument(
        "--network", type=positive_number, default=12.5, help="GB/s between machines (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> str:
    encoder = Path(options.encoder).name if os.path.isdir(options.encoder) else options.encoder
    data = "support requests" if options.data is None else options.data.resolve().name
    return f"Encoder {encoder}, {data}, at most {options.max_length} tokens; all in turn, {options.repeats} times."


def _table(measured: dict[str, Any]) -> str:
    """Lay out medians, the spread, and the ratio to the first arrangement within each repetition."""
    rates = measured["documents_per_second"]
    base = next(iter(rates.values()))
    lines = [
        f"{measured['documents']:,} documents.",
        "",
        "| arrangement | documents/s, median | lowest to highest | ratio to the first, median | lowest to highest |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in rates.items():
        ratios = [value / first for value, first in zip(values, base, strict=True)]
        lines.append(
            f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} to {max(values):.1f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
