"""The cell that makes a notebook run on Colab; elsewhere it does nothing.

The generator puts it into every notebook, under the title. The code of the course comes
from its public address, or, as long as there is none, from a wheel in the current folder;
never from a package index, where the name might belong to someone else.
"""

from __future__ import annotations

from collections.abc import Sequence

TAGS = ["colab-setup", "remove-cell"]

FROM_ADDRESS = """\
# On Colab: install the code of the course. Anywhere else, nothing happens here.
import sys

if "google.colab" in sys.modules:
    %pip install -q "course-utils[notebooks] @ git+{address}@main"
"""

FROM_WHEEL = """\
# On Colab: install the code of the course. Anywhere else, nothing happens here.
import sys
from pathlib import Path

if "google.colab" in sys.modules:
    wheels = sorted(Path.cwd().glob("course_utils-*.whl"))
    if not wheels:
        raise FileNotFoundError(
            f"expected course_utils-*.whl in {Path.cwd()}, found none. Upload the "
            "wheel that `make wheel` builds, or open this notebook from the "
            "published site."
        )
    wheel = f"{wheels[-1]}[notebooks]"
    %pip install -q "{wheel}"
"""


def install_cell(address: str, packages: Sequence[str] = ()) -> str:
    """Source of the install cell for this public address (an empty string: none yet).

    `packages` are what one page needs beside the rest, by their names on the package index.
    """
    template = FROM_ADDRESS.replace("{address}", address) if address else FROM_WHEEL
    more = f"    %pip install -q {' '.join(packages)}" if packages else ""
    return (template + more).rstrip("\n")
