"""One fit in several processes, as torchrun and ``accelerate launch`` start them.

Every process holds the model and all the token ids, computes its share of every batch, and adds up gradients with
the others.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.distributed as dist

_ELEMENTS_PER_MESSAGE = 2**24
_numbers_of_fits = itertools.count()


def is_distributed() -> bool:
    """Tell whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def process_index() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if is_distributed() else 0


def n_processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if is_distributed() else 1


@contextmanager
def joined_processes(device: torch.device) -> Iterator[None]:
    """Join the processes that a launcher announces in the environment, unless the program has done so itself."""
    if not dist.is_available() or dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    store, rank, world_size = _meeting_point()
    backend = "nccl" if device.type == "cuda" else "gloo"
    own = dist.PrefixStore(f"fit {next(_numbers_of_fits)}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@cache
def _meeting_point() -> tuple[dist.Store, int, int]:
    """Return what the processes find one another by, this one's number, and how many there are.

    It stays as long as the program. Were there a new one for every fit, a process that begins the next fit early could reach
    the old one, and wait there for ever.
    """
    return next(dist.rendezvous("env://"))


def agreed(value: float, device: torch.device) -> float:
    """Return the first process's value in all of them; whole numbers up to 2**53 stay exact."""
    if not is_distributed():
        return value
    message = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(message, src=0)
    return message.item()


def copy_from_first(tensors: Iterable[torch.Tensor]) -> None:
    """Give all processes the first one's tensors."""
    if is_distributed():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def use_own_random_stream() -> None:
    """Draw other dropout masks than the other processes."""
    if process_index() > 0:
        torch.manual_seed(torch.initial_seed() + process_index())


def add_up(tensors: Iterable[torch.Tensor]) -> None:
    """Replace every tensor by its sum over the processes, many in one message."""
    if not is_distributed():
        return
    waiting: list[torch.Tensor] = []
    for tensor in tensors:
        waiting.append(tensor)
        if sum(one.numel() for one in waiting) >= _ELEMENTS_PER_MESSAGE:
            _add_up_together(waiting)
            waiting = []
    if waiting:
        _add_up_together(waiting)


def _add_up_together(tensors: list[torch.Tensor]) -> None:
    message = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(message)
    for tensor, total in zip(tensors, message.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))
