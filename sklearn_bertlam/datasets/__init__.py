"""Data sets: one written for this project, and readers for published ones."""

from ._jsonl import load_jsonl_dir
from ._published import load_aapd, load_rcv1_v2
from ._support_requests import load_support_requests

__all__ = ["load_aapd", "load_jsonl_dir", "load_rcv1_v2", "load_support_requests"]
