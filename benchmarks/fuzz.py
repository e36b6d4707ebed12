"""Feed the package what nobody should: ``python -m benchmarks.fuzz --minutes 5``.

Texts of any characters and types, targets in all containers, values that parameters do not have, saved folders with
changed bytes, JSON lines that were cut off. Nothing but documented errors may come out, which are this package's own and
those of scikit-learn's checks; no hang, no probability outside [0, 1], no wrong shape. Prints what was tried and what
failed, with the seed that brings it back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn

import sklearn_bertlam
from sklearn_bertlam import BertLamClassifier, baselines
from sklearn_bertlam._persistence import _checksum
from sklearn_bertlam.datasets import load_jsonl_dir
from sklearn_bertlam.exceptions import BertLamError

from .tiny import LABELS, PARAMETERS, TEXTS, Y, make_encoder

_SECONDS_PER_INPUT = 60
_OWN = (Path(sklearn_bertlam.__file__).parent, Path(baselines.__file__).parent)
_SKLEARN_CHECKS = Path(sklearn.__file__).parent / "utils"
_CHECKING = (*_OWN, _SKLEARN_CHECKS)
_ALPHABETS = (
    range(0x20, 0x7F),
    range(0x0, 0x20),
    range(0x5D0, 0x5EB),  # right-to-left
    range(0x200B, 0x2010),  # zero-width and direction marks
    range(0x300, 0x36F),  # combining
    range(0x4E00, 0x4F00),
    range(0xD800, 0xE000),  # lone surrogates
    range(0x1F600, 0x1F650),
    range(0xFDD0, 0xFDF0),  # not characters
)
_NOT_TEXTS: tuple[Any, ...] = (None, b"bytes", 1.5, float("nan"), [], {"a": 1}, np.nan, object())
_CONTAINERS: tuple[Callable[[list], Any], ...] = (
    list,
    tuple,
    lambda texts: np.array(texts, dtype=object),
    lambda texts: pd.Series(texts, dtype=object, index=range(5, 5 + len(texts))),
    lambda texts: pd.DataFrame({"text": pd.Series(texts, dtype=object)}),
    lambda texts: (text for text in texts),
    lambda texts: [texts],
)


class Fuzzer:
    """Makes inputs of several kinds and notes what they do.

    Parameters
    ----------
    folder : Path
        An empty folder to work in.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.encoder = make_encoder(folder / "encoder")
        self.fitted = self._make().fit(TEXTS, Y)
        self.fitted.save(folder / "saved")
        self.kinds = (self.texts, self.targets, self.parameters, self.saved_folder, self.json_lines)

    def _make(self, **parameters: Any) -> BertLamClassifier:
        return BertLamClassifier(self.encoder, **({"label_names": LABELS} | PARAMETERS | {"max_epochs": 1} | parameters))

    def texts(self, random: np.random.Generator) -> None:
        """Predict anything that looks like texts a little."""
        n_texts = int(random.integers(0, 6))
        texts: list[Any] = [_any_text(random) for _ in range(n_texts)]
        spoilt = random.random() < 0.3
        if spoilt and texts:
            texts[int(random.integers(n_texts))] = _NOT_TEXTS[int(random.integers(len(_NOT_TEXTS)))]
        long_text = ["truncate", "head-tail", "windows"][int(random.integers(3))]
        self.fitted._reading = self.fitted._reading | {"long_text": long_text, "stride": int(random.integers(0, 8))}
        container = _CONTAINERS[int(random.integers(len(_CONTAINERS)))]
        _check(self.fitted.predict_proba(container(texts)), n_texts, len(LABELS))

    def targets(self, random: np.random.Generator) -> None:
        """Fit to indicators of all types and containers, some of them wrong."""
        n_labels = int(random.integers(1, 5))
        y: Any = random.integers(0, 2, size=(len(TEXTS), n_labels))
        y = y.astype(random.choice(["bool", "int8", "uint8", "int64", "float16", "float32", "float64", "object", "str"]))
        if random.random() < 0.3 and y.dtype.kind in "fO":
            y[random.integers(len(TEXTS)), random.integers(n_labels)] = random.choice([np.nan, np.inf, 2, -1, 0.5])
        if random.random() < 0.1:
            y = y[: int(random.integers(len(TEXTS)))]
        containers = (np.asarray, sp.csr_array, sp.coo_matrix, sp.lil_matrix, pd.DataFrame, lambda y: y.tolist(), np.ravel)
        container: Any = containers[int(random.integers(len(containers)))]
        clf = self._make(label_names=None, head_init=str(random.choice(["logistic", "random"]))).fit(TEXTS, container(y))
        _check(clf.predict_proba(TEXTS), len(TEXTS), n_labels)

    def parameters(self, random: np.random.Generator) -> None:
        """Fit with a few parameters at values that they may or may not have."""
        values: tuple[Any, ...] = (
            *(None, True, "", "auto", "tuned", "document", "mean", "cls", "windows", "random", "bfloat16"),
            *(-1, 0, 1, 2, 3, 7, 33, 65, 0.0, 0.5, 1.0, 1e-3, 1e9, np.nan, np.inf, np.int64(4), np.float32(0.25)),
            *([0.1, 0.2, 0.3], [0.1], np.ones(3), {"printer": "a"}, LABELS[::-1], object),
        )
        names = sorted(set(self.fitted.get_params()) - {"encoder", "checkpoint_dir", "callbacks", "max_epochs", "verbose"})
        chosen = random.choice(names, size=int(random.integers(1, 3)), replace=False)
        clf = self._make().set_params(**{name: values[int(random.integers(len(values)))] for name in chosen})
        clf.fit(TEXTS, Y)
        _check(clf.predict_proba(TEXTS), len(TEXTS), len(LABELS))
        assert clf.predict(TEXTS).shape == Y.shape

    def saved_folder(self, random: np.random.Generator) -> None:
        """Load a folder whose files have other bytes than they were saved with."""
        with _changed_file(self.folder / "saved", random):
            loaded = BertLamClassifier.load(self.folder / "saved")
        _check(loaded.predict_proba(TEXTS), len(TEXTS), loaded.n_labels_)

    def json_lines(self, random: np.random.Generator) -> None:
        """Read a data set that was cut off or damaged."""
        rows = [{"text": _any_text(random), "labels": list(random.choice(LABELS, 2))} for _ in range(4)]
        lines = "\n".join(json.dumps(row) for row in rows).encode("utf-8", "surrogatepass")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "train.jsonl"
            file.write_bytes(_damaged(lines, random))
            (Path(folder) / "test.jsonl").write_bytes(lines)
            data = load_jsonl_dir(folder)
        assert data.train.target.shape[0] == len(data.train.data)


def _any_text(random: np.random.Generator) -> str:
    if random.random() < 0.3:
        return str(random.choice(TEXTS))
    length = int(10 ** random.uniform(0, 3)) if random.random() < 0.99 else 1_000_000
    alphabets = [_ALPHABETS[index] for index in random.integers(len(_ALPHABETS), size=2)]
    codes = np.concatenate([random.integers(one.start, one.stop, size=length) for one in alphabets])
    return "".join(map(chr, random.permutation(codes)))


@contextmanager
def _changed_file(folder: Path, random: np.random.Generator) -> Iterator[None]:
    """Damage a file; half of the JSON files get their hash corrected, as by someone who means it."""
    files = sorted(folder.iterdir())
    before = {file: file.read_bytes() for file in files}
    file = files[int(random.integers(len(files)))]
    file.write_bytes(_damaged(before[file], random))
    record = folder / "estimator.json"
    if file.suffix == ".json" and random.random() < 0.5:
        with suppress(ValueError):  # no JSON any more
            facts = json.loads(record.read_bytes())
            if file != record:
                facts["files"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
            record.write_text(json.dumps(facts | {"checksum": _checksum(facts)}), encoding="utf-8")
    try:
        yield
    finally:
        for changed, content in before.items():
            changed.write_bytes(content)


def _damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Return the bytes cut off, or with some of them changed."""
    if random.random() < 0.3:
        return content[: int(random.integers(len(content)))]
    damaged = bytearray(content)
    for position in random.integers(len(damaged), size=int(random.integers(1, 4))):
        damaged[position] = int(random.integers(256))
    return bytes(damaged)


def _check(probabilities: np.ndarray, n_texts: int, n_labels: int) -> None:
    assert probabilities.ndim == 2
    assert probabilities.shape[1] == n_labels
    assert len(probabilities) == n_texts
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


class _TookTooLongError(BaseException):
    """Not an Exception, so that nothing takes it for an error of an input."""


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _TookTooLongError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(minutes: float, first_seed: int = 0) -> tuple[Counter, list[str]]:
    """Try inputs for some minutes.

    Returns
    -------
    tried : Counter
        How often each kind of input was accepted or refused, by (kind, outcome).
    failures : list of str
        What went wrong, with kind and seed.
    """
    tried: Counter = Counter()
    failures = []
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fuzzer = Fuzzer(Path(folder))
        seed = first_seed
        while time.monotonic() < end:
            for kind in fuzzer.kinds:
                outcome = "accepted"
                try:
                    with _time_limit(_SECONDS_PER_INPUT):
                        kind(np.random.default_rng(seed))
                except (Exception, _TookTooLongError) as error:
                    outcome = "refused" if _is_documented(error) else "failed"
                    if outcome == "failed":
                        failures.append(f"{kind.__name__}, seed {seed}:\n{traceback.format_exc()}")
                tried[kind.__name__, outcome] += 1
            seed += 1
    return tried, failures


def _is_documented(error: BaseException) -> bool:
    """Tell whether a check has raised an error, of this package or of scikit-learn, and no accident deep in a library.

    Inputs that cannot even be made, such as sparse arrays of objects, never reach the package.
    """
    if isinstance(error, (AssertionError, _TookTooLongError)):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    files = [Path(frame.filename) for frame in frames]
    if not any(file.is_relative_to(folder) for file in files for folder in _CHECKING):
        return True
    is_own = any(files[-1].is_relative_to(folder) for folder in _OWN)
    is_a_check = (frames[-1].line or "").startswith("raise ") if is_own else files[-1].is_relative_to(_SKLEARN_CHECKS)
    return isinstance(error, BertLamError) or (isinstance(error, (ValueError, TypeError)) and is_a_check)


def main() -> int:
    """Run what is asked for on the command line; return 1 where something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first inputs")
    options = parser.parse_args()
    tried, failures = fuzz(options.minutes, options.seed)
    for failure in failures:
        print(failure)
    for (kind, outcome), number in sorted(tried.items()):
        print(f"{kind}: {number:,} {outcome}")
    print(f"{sum(tried.values()):,} inputs tried, {len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
