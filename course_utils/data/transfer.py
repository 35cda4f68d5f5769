"""Bring one file here: a wheel by pip, anything else by pooch.

Introduced with chapter 1. Adds to `sources`: the network. pooch retries,
and moves a file to its name only when it is whole. pip does the work for
wheels, so that its own settings, mirrors and folders of wheels apply.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from .errors import Unreachable
from .sources import Wheel

# What pip says when a connection breaks half-way: worth another try. Some
# versions notice a cut only by the digest.
BROKEN = ("IncompleteRead", "Connection broken", "Read timed out", "reset by")
BROKEN += ("DO NOT MATCH THE HASHES",)
OFFLINE = (
    "Check the connection, or set COURSE_DATA_MIRROR to a folder that holds "
    "the file {file}."
)


def watched():
    """Tell whether somebody sees a progress bar: a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def say(text):
    """Print one line for the reader, on the error stream."""
    print(text, file=sys.stderr, flush=True)


def download(source, folder):
    """Bring the file of a `Wheel` or a `Url` into ``folder``.

    Returns
    -------
    pathlib.Path
        The file, whole, its digest not yet compared.
    """
    import pooch
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel("WARNING")
    wheel = isinstance(source, Wheel)
    shelf = pooch.create(
        path=folder,
        base_url="",
        registry={source.file: None},
        urls={source.file: str(source) if wheel else source.url},
        retry_if_failed=2,
    )
    say(f"Fetching {source} ({source.size / 1e6:.1f} MB)")
    web = pooch.HTTPDownloader(progressbar=watched(), timeout=30)
    try:
        by = pip_downloader(source) if wheel else web
        return Path(shelf.fetch(source.file, downloader=by))
    except RequestException as error:
        raise Unreachable(
            f"Cannot fetch {source}",
            expected=f"{source.file} from the network",
            got=str(error)[-300:],
            todo=OFFLINE.format(file=source.file),
        ) from error


def pip_downloader(wheel):
    """Return a pooch downloader that asks pip for ``wheel``."""

    def downloader(url, output_file, shelf):
        box = Path(shelf.abspath) / "pip"
        (box / "tmp").mkdir(parents=True, exist_ok=True)
        log = box / "log.txt"
        with log.open("wb") as out, running(wheel, box, out) as process:
            follow(process, box, wheel)
        found = sorted(box.glob("*.whl"))
        if process.returncode or not found:
            raise pip_error(wheel, log.read_text("utf-8", "replace"))
        os.replace(found[0], output_file)

    return downloader


@contextlib.contextmanager
def running(wheel, box, out):
    """Run ``pip download`` in ``box``; whatever happens, pip is stopped."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps"]
    command += ["--only-binary=:all:", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--dest", str(box)]
    command += [*wheel.options, f"{wheel.project}=={wheel.version}"]
    tmp = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(box / "tmp"))
    process = subprocess.Popen(
        command, stdout=out, stderr=out, env={**os.environ, **tmp}
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def follow(process, box, wheel):
    """Show how the file that pip writes grows, until pip ends."""
    from tqdm import tqdm

    with tqdm(
        total=wheel.size,
        unit="B",
        unit_scale=True,
        desc=wheel.project,
        disable=not watched(),
    ) as bar:
        while process.poll() is None:
            bar.update(max(0, largest(box) - bar.n))
            time.sleep(0.1)
        bar.update(max(0, largest(box) - bar.n))


def largest(folder):
    """Return the size of the largest file below ``folder``, in bytes."""
    sizes = [0]
    for inner, _, names in os.walk(folder):  # bears folders that vanish
        for name in names:
            with contextlib.suppress(OSError):  # and so do files
                sizes.append(os.path.getsize(os.path.join(inner, name)))
    return max(sizes)


def pip_error(wheel, log):
    """Return the exception for pip's failure, one that says what to do."""
    from requests.exceptions import ConnectionError as Broken

    if any(sign in log for sign in BROKEN):
        return Broken(last_lines(log))  # pooch tries again
    todo = OFFLINE.format(file=wheel.file)
    if "No module named pip" in log:
        todo = "Install pip here: `python -m ensurepip`."
    return Unreachable(
        f"Cannot fetch {wheel}",
        expected=f"{wheel.file} from the package index",
        got=last_lines(log),
        todo=todo,
    )


def last_lines(log, count=2):
    """Return the last lines of pip's output that say something."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "pip stopped without a word"
