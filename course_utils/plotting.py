"""One look for every figure, and the few drawings that several chapters share.

Introduced in chapter 1. A cell makes ``fig, ax``; a helper here takes `ax`, draws, and
returns it. Colours are safe for colour-blind readers and never the only cue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")

STYLE = {
    "figure.figsize": (6.4, 3.6),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "text.color": "#222222",
    "xtick.color": "#222222",
    "ytick.color": "#222222",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "image.cmap": "viridis",
}


def use_style() -> None:
    """Apply the course's matplotlib style to this process."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(STYLE)
    mpl.rcParams["axes.prop_cycle"] = (
        cycler(color=COLOURS) + cycler(linestyle=DASHES) + cycler(marker=MARKERS)
    )


def line(index: int) -> dict:
    """Colour, dash and marker number `index`, as keyword arguments of ``ax.plot``."""
    i = index % len(COLOURS)
    return {"color": COLOURS[i], "linestyle": DASHES[i], "marker": MARKERS[i]}


def interval_bars(
    ax, names: Sequence[str], values, lows, highs, *, chance: float | None = None
):
    """Horizontal dots with intervals, first name on top.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    names : sequence of str, length n
    values, lows, highs : array_like, shape (n,)
        The figures and the ends of their intervals, all in one unit.
    chance : float, optional
        Drawn as a dotted vertical line: what guessing gives.
    """
    values, lows, highs = (np.asarray(v, dtype=float) for v in (values, lows, highs))
    y = np.arange(len(names))[::-1]
    ax.errorbar(
        values, y, xerr=[values - lows, highs - values], fmt="o", capsize=3,
        color=COLOURS[0], linestyle="none",
    )
    ax.set_yticks(y, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.grid(axis="y", visible=False)
    if chance is not None:
        ax.axvline(chance, color=COLOURS[4], linestyle=":", marker="none")
    return ax


def band(ax, x, runs, *, label: str, index: int = 0):
    """Mean over seeds with a Student t band.

    Parameters
    ----------
    x : array_like, shape (n,)
    runs : array_like, shape (seeds, n)
        One row a seed.
    """
    from .metrics import mean_interval

    rows = np.asarray(runs, dtype=float)
    triples = np.array([mean_interval(rows[:, i]) for i in range(rows.shape[1])])
    ax.plot(x, triples[:, 0], label=label, **line(index))
    ax.fill_between(
        x, triples[:, 1], triples[:, 2], color=COLOURS[index % 5], alpha=0.15, lw=0
    )
    return ax


def heatmap(
    ax,
    matrix,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    label: str = "",
    centred: bool = False,
    numbers: str | None = None,
):
    """A matrix as colours, with its scale, and optionally its numbers.

    Parameters
    ----------
    matrix : array_like, shape (m, n)
    rows, columns : sequences of str, lengths m and n, optional
    label : str
        What the colour means, with its unit.
    centred : bool
        A diverging map with white at zero; else viridis.
    numbers : str, optional
        Format of the number written in each cell, for instance ``".2f"``.
    """
    matrix = np.asarray(matrix, dtype=float)
    limit = float(np.abs(matrix).max()) if centred else None
    image = ax.imshow(
        matrix, aspect="auto", interpolation="nearest",
        cmap="RdBu_r" if centred else "viridis",
        vmin=None if limit is None else -limit, vmax=limit,
    )
    ax.grid(visible=False)
    if rows is not None:
        ax.set_yticks(range(len(rows)), rows)
    if columns is not None:
        turn = 45 if max(map(len, columns), default=0) > 2 else 0
        ax.set_xticks(range(len(columns)), columns, rotation=turn)
    if numbers is not None:
        _write_numbers(ax, image, matrix, numbers)
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax


def _write_numbers(ax, image, matrix: np.ndarray, fmt: str) -> None:
    for (i, j), value in np.ndenumerate(matrix):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        ax.text(
            j, i, format(value, fmt), ha="center", va="center", fontsize=8,
            color="white" if dark else "black",
        )
