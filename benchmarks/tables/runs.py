"""One run: one system with one seed, in a process of its own, whose result is a JSON file."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

from ..bootstrap import document_counts
from ..output import commit, read_json, write_atomically
from ..scoring import best_threshold, dense, peak_memory_gb, score, timed_fit, timed_scores
from ..systems import SYSTEMS, make_system
from .data import load_documents


class Task(NamedTuple):
    """What a run is given."""

    system: str
    seed: int
    data: str
    split: str
    train_size: int | None
    encoder: str
    max_length: int
    max_epochs: int | None
    threshold: str

    def file(self, out: Path) -> Path:
        """Return where the result goes."""
        return out / "runs" / f"{self.system}-{self.seed}.json"


def run(task: Task, out: Path) -> str | None:
    """Do a run in a process of its own and write its result; return what went wrong, if anything did."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
            result = pool.submit(measure, task).result()
    except Exception as error:  # one system that fails must not cost the others
        first_line = (str(error).strip().splitlines() or [""])[0]
        return f"{type(error).__name__}: {first_line}"
    write_atomically(task.file(out), result)
    return None


def _end_with_parent() -> None:
    """Let this process end when the one that started it is killed, and not train on unseen."""

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def measure(task: Task) -> dict[str, Any]:
    """Train, choose on val, and score once.

    Returns
    -------
    result : dict
        "metrics" (see ``benchmarks.scoring.COLUMNS``), "chosen" (parameters and threshold that val decided on), "commit" (of
        the code) and "counts", two numbers for every document as of ``document_counts``.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    code = commit()  # before it is another one
    documents = load_documents(Path(task.data), task.train_size)
    estimator, threshold, fitting, chosen = _best_on_val(task, documents)
    texts, target = getattr(documents, task.split)
    scores, predicting = timed_scores(estimator, texts)
    predicted = dense(estimator.predict(texts)) if threshold is None else scores > threshold
    return {
        "metrics": score(target, predicted, scores) | fitting | predicting | {"peak_memory_gb": peak_memory_gb()},
        "chosen": chosen,
        "commit": code,
        "counts": document_counts(dense(target), predicted).tolist(),
    }


def _best_on_val(task: Task, documents: Any) -> tuple[Any, float | None, dict[str, float], dict[str, Any]]:
    """Fit every candidate, and keep the one with the highest micro-F1 on val, at its threshold."""
    best: tuple[Any, ...] | None = None
    seconds = 0.0
    candidates = SYSTEMS[task.system].candidates if task.split == "test" else ({},)
    for candidate in candidates:
        estimator = make_system(
            task.system,
            encoder=task.encoder,
            label_names=documents.descriptions,
            max_length=task.max_length,
            max_epochs=task.max_epochs,
            threshold=0.5,  # tuned below, on val and for all systems alike
            random_state=task.seed,
            verbose=int(sys.stderr.isatty()),
        ).set_params(**candidate)
        fitting = timed_fit(estimator, *documents.train)
        seconds += fitting["fit_seconds"]
        if len(candidates) == 1 and task.threshold != "tuned":
            return estimator, None, fitting, {}
        texts, target = documents.val
        scores = estimator.decision_function(texts)
        threshold = best_threshold(target, scores) if task.threshold == "tuned" else None
        predicted = dense(estimator.predict(texts)) if threshold is None else scores > threshold
        f1 = score(target, predicted, scores)["f1_micro"]
        if best is None or f1 > best[0]:
            best = f1, estimator, threshold, fitting, {**candidate, "threshold": threshold, "val_f1_micro": f1}
    assert best is not None
    return best[1], best[2], best[3] | {"fit_seconds": seconds}, best[4]


def read_results(out: Path, names: list[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the results that are there: system -> seed -> result."""
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for name in names:
        for file in sorted((out / "runs").glob(f"{name}-[0-9]*.json")):
            seed = int(file.stem.removeprefix(f"{name}-"))
            results.setdefault(name, {})[seed] = read_json(file)
    return results
