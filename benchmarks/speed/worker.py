"""A process that runs one system and nothing else, so that its peak memory is its own.

It lives through all rounds and answers each JSON line on stdin with one on stdout. Between two requests it waits for input,
so that no two systems compute at the same time. ``Worker`` is the other end.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..scoring import peak_memory_gb
from . import systems

_PACKAGES = ("torch", "transformers", "skorch", "accelerate", "sentence-transformers", "setfit", "simpletransformers")
_ROOT = Path(__file__).resolve().parents[2]
_WARM_UP_STEPS = 4
_LONGEST_WAIT = 600
_TRIAL_STEPS = 3


class Worker:
    """The asking end of a worker.

    Parameters
    ----------
    python : str
        The interpreter of the environment that the system is installed in.
    task : dict
        What ``_Measurement`` takes.
    """

    def __init__(self, python: str, task: dict[str, Any]):
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.speed.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=_ROOT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"},
        )
        self.ready = self.ask(task)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the answer, which has the key "error" where there is none."""
        assert self._process.stdin and self._process.stdout
        limit = threading.Timer(_LONGEST_WAIT, self._process.kill)
        limit.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        waited = limit.finished.is_set()
        limit.cancel()
        if waited:
            return {"error": f"no answer within {_LONGEST_WAIT} seconds"}
        return (
            json.loads(line) if line else {"error": f"the process ended with {self._process.wait()}: {self._last_words()}"}
        )

    def _last_words(self) -> str:
        self._log.seek(0)
        return (self._log.read().strip().splitlines() or ["nothing said"])[-1]

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()
        self._log.close()


class Clock:
    """Time and losses of the updates of one training run, from the begin of the first to the end of the last."""

    def __init__(self, steps: int, device: str):
        self.steps = steps
        self.device = device
        self.losses: list[Any] = []
        self.done = 0

    def start(self) -> None:
        """Be told that an update begins."""
        if self.done == 0:
            self._begin = _now(self.device)

    def note(self, loss: Any) -> None:
        """Keep the loss of an update without waiting for the device."""
        self.losses.append(loss.detach())

    def tick(self) -> None:
        """Be told that an update has ended."""
        self.done += 1
        if self.done == self.steps:
            self._end = _now(self.device)

    @property
    def seconds(self) -> float:
        """What all updates took."""
        if self.done != self.steps:
            raise RuntimeError(f"Expected {self.steps} updates, saw {self.done}.")
        return self._end - self._begin

    @property
    def last_loss(self) -> float:
        """The mean loss of the last quarter of the updates."""
        return float(np.mean([float(loss) for loss in self.losses[-max(1, self.steps // 4) :]]))


class _Measurement:
    """A system with its documents, one round at a time.

    The texts come from a JSON file with "names", "train", "heldout" and "predict"; ``documents`` repeats the texts so many
    times, ``labels`` adds so many times the labels, with made-up targets; ``n_train`` is the number of training texts.
    """

    def __init__(
        self,
        *,
        system: str,
        options: dict[str, Any],
        task: str,
        settings: dict[str, Any],
        data: str,
        documents: int,
        labels: int,
        n_train: int,
    ):
        content = json.loads(Path(data).read_text(encoding="utf-8"))
        n_labels = len(content["names"])
        names = [f"{name} {copy}" if copy else name for copy in range(labels) for name in content["names"]]
        self.task = task
        self.device = settings["device"]
        self.batch_size = settings["batch_size"]
        self.heldout, self.heldout_targets = content["heldout"]["texts"], _indicator(content["heldout"]["labels"], n_labels)
        self.texts = (content["train"]["texts"][:n_train] if task == "train" else content["predict"]["texts"]) * documents
        if task == "train":
            self.targets = np.tile(_indicator(content["train"]["labels"][:n_train], n_labels), (documents, 1))
            made_up = np.random.default_rng(0).random((len(self.targets), len(names) - n_labels)) < self.targets.mean()
            self.targets = np.hstack([self.targets, made_up]).astype(np.int64)
        self.scored = documents == labels == 1
        self.system = getattr(systems, system)(SimpleNamespace(**settings), names, **options)
        if task == "predict":
            targets = np.tile(self.heldout_targets, labels)
            self.prepare = lambda: self.system.prepare(self.heldout, targets)
        self._choose_switch()

    def _choose_switch(self) -> None:
        """Keep the fastest of the settings that a system may be run with."""
        seconds: list[tuple[float, int]] = []
        for switch in self.system.switches if len(self.system.switches) > 1 else ():
            self.system.switch = switch
            if self.task == "predict":
                self.prepare()
            self._once(_TRIAL_STEPS, 0)  # not timed
            seconds.append((self._once(_TRIAL_STEPS, 0)[0], len(seconds)))
        if seconds:
            self.system.switch = self.system.switches[min(seconds)[1]]
        if self.task == "predict":
            self.prepare()

    def _once(self, steps: int | None, seed: int) -> tuple[float, Any]:
        """Train or predict on the first documents that make so many steps, or on all: seconds, and the clock or output."""
        end = len(self.texts) if steps is None else min(len(self.texts), steps * self.batch_size)
        if self.task == "train":
            clock = Clock(-(-end // self.batch_size), self.device)
            self.system.model = None  # the next one is not to stand beside the last one in memory
            gc.collect()
            self.system.train(self.texts[:end], self.targets[:end], clock, seed)
            return clock.seconds, clock
        begin = _now(self.device)
        output = self.system.predict(self.texts[:end])
        return _now(self.device) - begin, output

    def round(self, seed: int) -> dict[str, Any]:
        """Warm up, then measure."""
        _clean_up(self.device)
        self._once(_WARM_UP_STEPS, seed)
        seconds, result = self._once(None, seed)
        speed = len(self.texts) / seconds
        answer = {"seconds": seconds, "documents_per_second": speed, "peak_memory_gb": _peak_memory(self.device)}
        if self.task == "predict":
            if len(result) != len(self.texts) or len(result[0]) != len(self.system.names):
                raise RuntimeError("Not one probability per document and label.")
        else:
            answer["training_loss"] = result.last_loss
            if self.scored:
                answer["heldout_loss"] = log_loss(self.system.predict(self.heldout), self.heldout_targets)
        _clean_up(self.device)
        return answer


def log_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean binary cross-entropy of all entries."""
    probabilities = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(targets == 1, np.log(probabilities), np.log1p(-probabilities))))


def _indicator(label_lists: list[list[int]], n_labels: int) -> np.ndarray:
    targets = np.zeros((len(label_lists), n_labels), dtype=np.int64)
    for row, labels in enumerate(label_lists):
        targets[row, labels] = 1
    return targets


def _now(device: str) -> float:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def _peak_memory(device: str) -> float:
    """Return GB: what torch has allocated on a GPU, else the largest resident size of this process in this round."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")  # unlike getrusage, not inherited from the parent
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 / 1e9 if found else peak_memory_gb()


def _clean_up(device: str) -> None:
    """Leave the memory to the other systems, and forget how much it was."""
    gc.collect()
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError, TypeError):  # not Linux with glibc
        pass


def _versions() -> dict[str, str]:
    installed = {distribution.name.lower(): distribution.version for distribution in distributions()}
    return {package: installed[package] for package in _PACKAGES if package in installed}


def _reason(error: Exception) -> str:
    """Say what went wrong without saying where on this machine files lie."""
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: " + re.sub(r"(?:/[\w.+-]+)+/", "", first_line)


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print; the answers have a channel of their own
    warnings.filterwarnings("ignore")
    measurement = None
    for line in sys.stdin:
        try:
            if measurement is None:
                measurement = _Measurement(**json.loads(line))
                answer = {"versions": _versions(), "switch": measurement.system.switch}
            else:
                answer = measurement.round(**json.loads(line))
        except Exception as error:  # whatever a peer raises is a line of the report
            import traceback

            traceback.print_exc()
            answer = {"error": _reason(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
