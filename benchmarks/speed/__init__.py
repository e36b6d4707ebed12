"""Speed and memory of this package and its peers, measured side by side: ``python -m benchmarks.speed``."""
