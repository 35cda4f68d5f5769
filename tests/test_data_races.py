"""Interrupted fetches, broken connections, two processes at once."""

import os
import signal
import time

import datafakes as fakes
import pytest

from course_utils.data import DataError, fetch, registry

TEXT = "Sois sage, ô ma Douleur\n".encode() * 2000


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def here(cache, monkeypatch):
    """This very process, with an empty cache and no proxy on the way."""
    monkeypatch.setenv("COURSE_DATA_DIR", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def use(entry):
        monkeypatch.setattr(registry, "ENTRIES", (entry,))

    return use


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_process_stopped_in_the_middle(cache, stop):
    """Half a wheel is out when the process dies; the next fetch is right."""
    index = fakes.toy_index()
    index.go.clear()
    with fakes.serving(index) as address:
        env = fakes.environment(cache, links=f"{address}/")
        first = fakes.child(env)
        assert index.half.wait(30)
        first.send_signal(stop)
        _, errors = first.communicate(timeout=30)
        assert first.returncode != 0, errors
        assert fakes.finished_files(cache) == []
        if stop == signal.SIGINT:  # pip is stopped, the work folder cleared
            assert index.hung_up.wait(10)
            assert [p.suffix for p in (cache / ".work").iterdir()] == [".lock"]
        index.go.set()
        found, _ = fakes.finish(fakes.child(env))
    with open(found["rows.tab"], "rb") as file:
        assert file.read() == fakes.ROWS
    assert [p.suffix for p in (cache / ".work").iterdir()] == [".lock"]


def test_process_killed_while_it_unpacks(cache):
    """Half a member is written when the process dies."""
    with fakes.serving(fakes.toy_index()) as address:
        env = fakes.environment(cache, links=f"{address}/")
        first = fakes.child(env, before="datafakes.die_half_way()")
        first.communicate(timeout=60)
        assert first.returncode == -signal.SIGKILL
        assert fakes.finished_files(cache) == []
        assert list(cache.glob(".work/*/rows.tab"))  # the half is there
        found, _ = fakes.finish(fakes.child(env))
    with open(found["rows.tab"], "rb") as file:
        assert file.read() == fakes.ROWS


def test_two_processes_at_once(cache):
    """Both get the files; the wheel crosses the wire once."""
    index = fakes.toy_index()
    index.go.clear()
    with fakes.serving(index) as address:
        env = fakes.environment(cache, links=f"{address}/")
        pair = [fakes.child(env), fakes.child(env)]
        assert index.half.wait(30)
        time.sleep(2.5)  # the second one has come to the lock and said so
        index.go.set()
        results = [fakes.finish(process) for process in pair]
    assert results[0][0] == results[1][0]
    assert index.gets.count(f"/{fakes.WHEEL}") == 1
    assert sum("waiting for it" in errors for _, errors in results) == 1
    with open(results[0][0]["rows.tab"], "rb") as file:
        assert file.read() == fakes.ROWS


def test_index_that_lies_about_the_digest(cache):
    """pip compares first; its words are kept, after three tries."""
    bent = fakes.GOOD.replace(b"red\tround", b"red\tsound", 1)
    index = fakes.toy_index()
    index.files[f"/{fakes.WHEEL}"] = bent
    with fakes.serving(index) as address:
        env = fakes.environment(cache, links=f"{address}/")
        _, errors = fakes.child(env).communicate(timeout=60)
    assert "Unreachable" in errors
    assert fakes.sha(bent) in errors
    assert index.gets.count(f"/{fakes.WHEEL}") == 3
    assert fakes.finished_files(cache) == []


def test_connection_that_breaks_once_is_tried_again(cache):
    index = fakes.toy_index()
    index.breaks = 1
    with fakes.serving(index) as address:
        env = fakes.environment(cache, links=f"{address}/")
        found, _ = fakes.finish(fakes.child(env))
    with open(found["other.txt"], "rb") as file:
        assert file.read() == fakes.OTHER
    assert index.gets.count(f"/{fakes.WHEEL}") == 2


def test_url_in_any_line_ends(here, cache):
    """Carriage returns and a final blank line change nothing."""
    index = fakes.Index({"/v.txt": TEXT.replace(b"\n", b"\r\n") + b"\r\n"})
    with fakes.serving(index) as address:
        here(fakes.url_entry(f"{address}/v.txt", TEXT.strip()))
        assert fetch("verse")["verse.txt"].read_bytes() == TEXT.strip()


def test_url_with_other_content(here, cache):
    index = fakes.Index({"/v.txt": b"<html>Please log in</html>"})
    with fakes.serving(index) as address:
        here(fakes.url_entry(f"{address}/v.txt", TEXT.strip()))
        with pytest.raises(DataError, match="SHA-256") as error:
            fetch("verse")
    assert fakes.sha(TEXT.strip()) in str(error.value)
    assert fakes.finished_files(cache) == []


@pytest.mark.parametrize("breaks, right", [(2, True), (3, False)])
def test_url_that_breaks(here, cache, breaks, right):
    """Two broken answers are mended by the third; three are an error."""
    index = fakes.Index({"/v.txt": TEXT.strip()})
    index.breaks = breaks
    with fakes.serving(index) as address:
        here(fakes.url_entry(f"{address}/v.txt", TEXT.strip()))
        if right:
            assert fetch("verse")["verse.txt"].read_bytes() == TEXT.strip()
            return
        with pytest.raises(DataError, match="COURSE_DATA_MIRROR"):
            fetch("verse")
    assert fakes.finished_files(cache) == []


def test_url_that_is_not_there(here, cache):
    with fakes.serving(fakes.Index({})) as address:
        here(fakes.url_entry(f"{address}/v.txt", TEXT.strip()))
        with pytest.raises(DataError, match="404"):
            fetch("verse")


def test_mirror_with_the_plain_file(here, cache, tmp_path, monkeypatch):
    (tmp_path / "verse.txt").write_bytes(TEXT + b"\n\n")
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path))
    here(fakes.url_entry("http://127.0.0.1:9/v.txt", TEXT.strip()))
    assert fetch("verse")["verse.txt"].read_bytes() == TEXT.strip()


@pytest.mark.parametrize("folder", ["", "toy"])
def test_mirror_with_the_members(here, tmp_path, monkeypatch, folder):
    """A copy of somebody's cache folder serves as a mirror."""
    (tmp_path / "m" / folder).mkdir(parents=True)
    for path, data in fakes.FILES.items():
        (tmp_path / "m" / folder / os.path.basename(path)).write_bytes(data)
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path / "m"))
    here(fakes.toy_entry())
    assert fetch("toy")["rows.tab"].read_bytes() == fakes.ROWS


def test_mirror_with_a_wrong_wheel(here, cache, tmp_path, monkeypatch):
    (tmp_path / fakes.WHEEL).write_bytes(fakes.GOOD + b"more")
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path))
    here(fakes.toy_entry())
    with pytest.raises(DataError, match="replace it there"):
        fetch("toy")
    assert fakes.finished_files(cache) == []


def test_mirror_that_is_no_folder(here, tmp_path, monkeypatch):
    """A misspelt mirror is said, not passed over."""
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path / "mirorr"))
    here(fakes.toy_entry())
    with pytest.raises(DataError, match="names no folder"):
        fetch("toy")
