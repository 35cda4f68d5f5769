"""A real browser for the site checks, or one clear reason why there is none."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = Path(os.environ.get("COURSE_SITE", ROOT / "_build" / "html"))
sys.path.insert(0, str(HERE.parent))


def chromium() -> str:
    """Path of the browser: CHROMIUM, or one of the usual names."""
    named = os.environ.get("CHROMIUM", "")
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return named or next((p for p in map(shutil.which, names) if p), "")


def missing() -> str:
    """What these checks lack on this machine, in words; empty if nothing."""
    if not chromium():
        return "no Chromium found (set CHROMIUM, or install the package chromium)"
    if not shutil.which("node"):
        return "no Node.js found"
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        return "no playwright-core: run `npm ci --prefix tests/browser`"
    return ""


@pytest.fixture(scope="session")
def look():
    """A function that runs look.mjs and returns what it saw."""
    if missing():
        pytest.skip(f"browser checks not run: {missing()}")

    def run(what: str, *arguments: str, **environment: str):
        done = subprocess.run(
            ["node", str(HERE / "look.mjs"), what, *map(str, arguments)],
            capture_output=True, text=True, timeout=1200,
            env=os.environ | {"CHROMIUM": chromium()} | environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def folder() -> Path:
    if not (FOLDER / "book" / "index.html").is_file():
        pytest.skip(f"no site at {FOLDER}: run `make book` first")
    return FOLDER


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(path: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path)))
    Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="session")
def address(folder):
    """The site over HTTP, as readers get it."""
    server = serve(folder)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
