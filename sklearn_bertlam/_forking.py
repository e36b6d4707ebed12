"""What keeps a process usable that is forked from one where an estimator has been used, as web servers fork.

Threads do not survive a fork: the first parallel product or tokenization in the child would wait for them for ever. So
the child computes with one thread, which is also what several workers on one machine should do.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import lru_cache

_SWITCH = "TOKENIZERS_PARALLELISM"
_locks: dict[tuple[int, str], threading.RLock] = {}


def lock_of_process(name: str) -> threading.RLock:
    """Return the lock of that name, the same one for all threads, and a new one in a forked process."""
    return _locks.setdefault((os.getpid(), name), threading.RLock())


@lru_cache(maxsize=1)
def prepare_for_forks() -> None:
    """Let processes that are forked from now on use one thread, without a warning from tokenizers."""
    if hasattr(os, "register_at_fork"):
        forks = _Forks()
        os.register_at_fork(before=forks.before, after_in_parent=forks.after_in_parent, after_in_child=forks.after_in_child)


class _Forks:
    """tokenizers looks at its switch while the process is forked, so it is off just then, and stays off in the child."""

    def before(self) -> None:
        self.was_set = _SWITCH in os.environ
        os.environ.setdefault(_SWITCH, "false")

    def after_in_parent(self) -> None:
        if not self.was_set:
            os.environ.pop(_SWITCH, None)

    def after_in_child(self) -> None:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
