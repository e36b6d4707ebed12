"""Where and how the computation runs: device, precision and random state."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch.utils._python_dispatch import TorchDispatchMode

from ._forking import lock_of_process
from .exceptions import SlowPrecisionWarning

_TIMED_PRODUCT = (1024, 384, 1536)
_TIMED_ROUNDS = 6
_CLEAR_GAIN = 1.2
_OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def resolve_device(device: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:1" into a device that is there."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is not a device torch knows. Use 'auto', 'cpu' or 'cuda'.") from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device={device!r} is not supported. Use 'auto', 'cpu' or 'cuda'.")
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"Got device={device!r} but torch sees no CUDA device. "
            "Use device='auto' or 'cpu', or install a CUDA build of torch."
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"Got device={device!r} but there are {torch.cuda.device_count()} CUDA devices, counted from 0.")
    return _own_cuda_device() if resolved.type == "cuda" and resolved.index is None else resolved


def _own_cuda_device() -> torch.device:
    """Return this process's own device where a launcher started one process per device, else this thread's current one."""
    is_launched = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "LOCAL_RANK" in os.environ
    index = int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count() if is_launched else torch.cuda.current_device()
    return torch.device("cuda", index)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Turn "auto" into bfloat16 where the device is faster with it; "bfloat16" is float32 on a CPU that only imitates it."""
    if precision == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    is_imitated = device.type == "cpu" and not cpu_operators_take_bfloat16()
    return torch.float32 if precision == "float32" or is_imitated else torch.bfloat16


def warn_of_slow_precision(precision: str, device: torch.device, stacklevel: int) -> None:
    """Warn where bfloat16 is asked for on a device that is no faster with it, or does not have it."""
    if precision != "bfloat16" or _has_bfloat16(device):
        return
    if resolve_precision(precision, device) == torch.float32:
        problem = f"This processor has no bfloat16, and would be hundreds of times slower with it: {device} uses 'float32'. "
    else:
        problem = f"precision='bfloat16' is no faster than 'float32' on this device ({device}), if not slower. "
    warnings.warn(problem + "Use precision='auto' to get what is fast.", SlowPrecisionWarning, stacklevel=stacklevel)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return _cpu_gains_from_bfloat16()


@lru_cache(maxsize=1)
def _cpu_gains_from_bfloat16() -> bool:
    """Tell whether products in bfloat16 are clearly faster than in float32 on this processor.

    Processors with the same instructions for bfloat16 are between four times as fast with them and half as fast, which only
    a stopwatch tells. Its answer is kept for the life of the process, and seldom close: there is hardly anything between.
    """
    if not (_cpu_has_bfloat16() and cpu_operators_take_bfloat16()):
        return False
    seconds = _fastest_products([torch.float32, torch.bfloat16])
    return seconds[torch.float32] > _CLEAR_GAIN * seconds[torch.bfloat16]


def _cpu_has_bfloat16() -> bool:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 and newer
    if any(capabilities.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16")):
        return True
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


def cpu_operators_take_bfloat16() -> bool:
    """Tell whether torch's operators for this processor compute in bfloat16, instead of number by number or not at all."""
    is_supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return is_supported is not None and is_supported()


def _fastest_products(dtypes: list[torch.dtype]) -> dict[torch.dtype, float]:
    """Return the seconds that a matrix product of the encoder's size takes at best, per type; the types take turns."""
    n, k, m = _TIMED_PRODUCT
    factors = {dtype: (torch.ones(n, k, dtype=dtype), torch.ones(k, m, dtype=dtype)) for dtype in dtypes}
    seconds: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    with torch.inference_mode():
        for _ in range(_TIMED_ROUNDS):
            for dtype, (left, right) in factors.items():
                start = time.perf_counter()
                left @ right
                seconds[dtype].append(time.perf_counter() - start)
    return {dtype: min(times) for dtype, times in seconds.items()}


def make_random_state(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """Like ``check_random_state``, but ``None`` gives fresh entropy and leaves numpy's global generator alone."""
    if random_state is None:
        return np.random.RandomState(np.random.SeedSequence().generate_state(4))
    return check_random_state(random_state)


@contextmanager
def isolated_torch_random_state(random_state: np.random.RandomState, device: torch.device) -> Iterator[None]:
    """Seed torch from ``random_state`` inside the block and put torch's own state back after it.

    Torch has one random state for all threads, so that threads take turns.
    """
    seed = int(random_state.randint(2**31 - 1))
    cuda = [device] if device.type == "cuda" else []
    with lock_of_process("torch's random state"), torch.random.fork_rng(devices=cuda), _usual_torch():
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


class without_random_numbers(TorchDispatchMode):
    """Leave what this thread would fill with random numbers as it is, where other numbers are about to be put in.

    So torch's random state need not be kept, nor waited for, and a large network is made in less time. Tensors have to be
    filled in place: ``torch.empty(n).normal_()`` draws nothing here, ``torch.randn(n)`` does.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        is_in_place = func.overloadpacket.__name__.endswith("_")
        if is_in_place and torch.Tag.nondeterministic_seeded in func.tags:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _usual_torch() -> Iterator[None]:
    """Make modules of float32 and record gradients in full precision, whatever the program around it has set."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad(), _no_autocast("cpu"), _no_autocast("cuda"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def _no_autocast(device_type: str) -> Any:
    return torch.autocast(device_type, enabled=False) if torch.is_autocast_enabled(device_type) else nullcontext()


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # numbers of glibc's mallopt
_ADAPTED = {"MALLOC_MMAP_THRESHOLD_": 32 * 2**20, "MALLOC_TRIM_THRESHOLD_": 64 * 2**20}  # what glibc comes to by itself
_FIXED = dict.fromkeys(_ADAPTED, 128 * 2**10)  # where one of them is set it does not adapt the other
_keeping_memory: list[None] = []  # one for every block that has not ended, in any thread
_changing_malloc = threading.Lock()


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Let freed memory be used again inside the block, rather than given back to the system and asked for anew.

    The C library returns large blocks at once, and the system fills every page with zeros before it hands it out again:
    up to a third of the time of a training step on a CPU. What is free at the end of the block, and of all others that
    have begun, is given back then.
    """
    libc = _glibc() if device.type == "cpu" else None
    if libc is None:
        yield
        return
    with _changing_malloc:
        _keeping_memory.append(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        with _changing_malloc:
            _keeping_memory.pop()
            if not _keeping_memory:
                _set_malloc_back(libc)


def _set_malloc_back(libc: Any) -> None:
    """Return to the limits that the environment names, as Dask's does for its workers, or glibc has by itself."""
    named = {name: int(value) for name in (*_ADAPTED, "MALLOC_MMAP_MAX_") if (value := os.environ.get(name, "")).isdigit()}
    limits = {"MALLOC_MMAP_MAX_": 65536} | (_FIXED if named else _ADAPTED) | named
    libc.mallopt(_MMAP_MAX, limits["MALLOC_MMAP_MAX_"])
    libc.mallopt(_MMAP_THRESHOLD, limits["MALLOC_MMAP_THRESHOLD_"])
    libc.mallopt(_TRIM_THRESHOLD, limits["MALLOC_TRIM_THRESHOLD_"])
    libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> Any:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch could not get memory, on a CUDA device or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    )
