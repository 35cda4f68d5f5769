"""Put stored outputs into the site's execution cache, so that building executes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .project import CourseError

OWN = "application/vnd.course."


def prime(cache_dir: Path | str, sources: Iterable[Path | str], root: Path) -> int:
    """Fill the cache of the site build from the stored notebooks.

    Parameters
    ----------
    cache_dir : path
        The cache (``_build/.jupyter_cache``); it is made if need be.
    sources : iterable of paths
        The pages ``notebooks/NN_name.md``.
    root : Path
        Folder of the course.

    Returns
    -------
    int
        How many notebooks were put there.

    Raises
    ------
    CourseError
        If a stored notebook is stale: the site would show outputs of other code.
    """
    from jupyter_cache import get_cache

    from . import sync

    paths = [Path(source).resolve() for source in sources]
    stale = sync.problems(root, paths) if paths else []
    if stale:
        raise CourseError("the stored notebooks are stale:\n  " + "\n  ".join(stale))
    cache = get_cache(str(cache_dir))
    for path in paths:
        _cache(cache, path)
    return len(paths)


def _cache(cache, path: Path) -> None:
    """The key is the code and the kernel of the page; the outputs are the stored ones."""
    import jupytext
    from jupyter_cache.base import CacheBundleIn

    from . import notebook

    page = jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst")
    stored = notebook.read(path.with_suffix(".ipynb"))
    seconds = stored.metadata["course"]["seconds"]
    stored.cells = notebook.code_cells(stored)
    stored.metadata = {"kernelspec": page.metadata["kernelspec"]}
    for cell, source in zip(stored.cells, (c for c in page.cells if c.cell_type == "code")):
        cell.metadata = source.metadata
        for output in cell.outputs:
            for kind in [key for key in output.get("data", {}) if key.startswith(OWN)]:
                del output.data[kind]  # records for our own tools, unknown to Sphinx
    cache.cache_notebook_bundle(
        CacheBundleIn(stored, str(path), data={"execution_seconds": seconds}),
        check_validity=False,
        overwrite=True,
    )
