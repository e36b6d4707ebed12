"""What all displays share: where they draw, and colours."""

from __future__ import annotations

from typing import Any

from sklearn.utils._optional_dependencies import check_matplotlib_support

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#777777"  # told apart by colour-blind eyes


class Display:
    """Base of the displays: where they draw."""

    figure_: Any
    ax_: Any

    def _axes(self, ax: Any, size: tuple[float, float]) -> Any:
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_
