"""What every process of a measured training runs: ``python -m benchmarks.scaling_train TASK.json RATE.json``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from sklearn_bertlam import BertLamClassifier

_LABELS = 12


def main(task_file: str, result_file: str) -> None:
    """Train one epoch with made-up targets; the first process writes documents per second."""
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    targets = np.random.default_rng(0).random((len(task["texts"]), _LABELS)) < 0.1
    clf = BertLamClassifier(
        task["encoder"], max_length=task["max_length"], max_epochs=1, head_init="random", threshold=0.5, random_state=0
    ).set_params(label_names=[f"label {number}" for number in range(_LABELS)])
    clf.fit(task["texts"], targets.astype(int))
    if os.environ.get("RANK", "0") == "0":
        Path(result_file).write_text(json.dumps(clf.history_[0]["documents_per_second"]), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
