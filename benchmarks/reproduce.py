"""Fit the same in fresh processes and compare the results bit by bit: ``python -m benchmarks.reproduce``.

The same call twice, with other states of the global random generators, and with another number of threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

_CASES: dict[str, dict[str, Any]] = {
    "first process": {},
    "second process": {},
    "other global seeds": {"global_seed": 12345},
    "another hash seed": {"hash_seed": 7},
    "two threads": {"threads": 2},
    "two threads again": {"threads": 2},
}
_SAME_AS = {"second process": "first process", "other global seeds": "first process", "another hash seed": "first process"}
_SAME_AS |= {"two threads again": "two threads"}


def main() -> int:
    """Run what is asked for on the command line; return 1 where what should be the same is not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=64, help="support requests to learn from (default: %(default)s)")
    results = measure(parser.parse_args().texts)
    print(json.dumps(results, indent=1))
    return int(not all(results["same"].values()))


def measure(n_texts: int) -> dict[str, Any]:
    """Return the hash of each case, which are the same as they should be, and how far two threads are from one."""
    found = {name: _in_new_process({"n_texts": n_texts, "threads": 1} | case) for name, case in _CASES.items()}
    one, two = (np.array(found[name]["probabilities"]) for name in ("first process", "two threads"))
    return {
        "hashes": {name: result["hash"] for name, result in found.items()},
        "same": {name: found[name]["hash"] == found[other]["hash"] for name, other in _SAME_AS.items()},
        "two_threads_are_one": found["two threads"]["hash"] == found["first process"]["hash"],
        "largest_difference_of_threads": float(np.abs(one - two).max()),
    }


def _in_new_process(case: dict[str, Any]) -> dict[str, Any]:
    code = f"from benchmarks.reproduce import fit; fit({case!r})"
    environment = os.environ | {"OMP_NUM_THREADS": str(case["threads"]), "PYTHONHASHSEED": str(case.get("hash_seed", 0))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def fit(case: dict[str, Any]) -> None:
    """Fit to some support requests and print the hash of the weights and the probabilities."""
    import random

    import torch

    from sklearn_bertlam import BertLamClassifier
    from sklearn_bertlam.datasets import load_support_requests

    seed = case.get("global_seed", 0)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (what another library may have done)
    torch.manual_seed(seed)
    torch.set_num_threads(case["threads"])
    X, Y = load_support_requests(subset="train", return_X_y=True, as_frame=True)
    n_texts = case["n_texts"]
    clf = BertLamClassifier(max_epochs=1, random_state=0, precision="float32", device="cpu").fit(X[:n_texts], Y[:n_texts])
    digest = hashlib.sha256()
    for _, weight in sorted(clf.module_.state_dict().items()):
        digest.update(weight.numpy().tobytes())
    print(json.dumps({"hash": digest.hexdigest()[:16], "probabilities": clf.predict_proba(X[:32]).tolist()}))


if __name__ == "__main__":
    sys.exit(main())
