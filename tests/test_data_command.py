"""``course data``: what it prints and returns; the registry itself."""

import argparse
import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import datafakes as fakes
import pytest

import course_utils.data
from course_utils.data import command, registry
from course_utils.data.errors import DataError
from course_utils.data.sources import Installed


def course(*words):
    """Run a command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="course")
    command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["data", *words])
    return options.run(options)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An empty cache, a mirror that holds the toy, and two entries."""
    gone = fakes.toy_entry(
        "gone", source=Installed("no_such_package_here", "pip install it")
    )
    monkeypatch.setattr(registry, "ENTRIES", (fakes.toy_entry(), gone))
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(tmp_path))
    (tmp_path / fakes.WHEEL).write_bytes(fakes.GOOD)
    return tmp_path / "cache" / "toy"


def test_list_before_and_after(toy, capsys):
    assert course("list") == 0
    before = capsys.readouterr().out
    assert "not fetched" in before and "not installed" in before
    assert course("fetch", "toy") == 0 == course("list")
    after = capsys.readouterr().out
    assert "not fetched" not in after and "here" in after


def test_where(toy, capsys):
    course("where", "toy")
    assert f"toy: {toy / 'rows.tab'}  (not fetched)" in capsys.readouterr().out
    course("fetch", "toy")
    capsys.readouterr()
    assert course("where") == 0
    assert f"toy: {toy / 'rows.tab'}\n" in capsys.readouterr().out


def test_verify(toy, capsys):
    assert course("verify", "toy") == 1  # asked for, and not here
    assert course("verify") == 0  # all that is here is right
    course("fetch", "toy")
    assert course("verify", "toy") == 0
    (toy / "rows.tab").write_bytes(b"R" + fakes.ROWS[1:])
    capsys.readouterr()
    assert course("verify") == 1
    shown = capsys.readouterr().out
    assert f"WRONG  {toy / 'rows.tab'}" in shown
    assert f"expected:   {fakes.sha(fakes.ROWS)}" in shown
    assert "what to do: course data fetch toy --again" in shown
    assert course("fetch", "toy", "--again") == 0 == course("verify", "toy")


def test_fetch_goes_on_after_a_failure(toy, monkeypatch, capsys):
    monkeypatch.setattr(registry, "ENTRIES", registry.ENTRIES[::-1])
    assert course("fetch") == 1
    shown = capsys.readouterr()
    assert "Run `pip install it`" in shown.err
    assert f"toy: {toy / 'rows.tab'}" in shown.out


@pytest.mark.parametrize("verb", ["fetch", "verify", "where"])
def test_unknown_name(toy, verb):
    with pytest.raises(DataError, match="course data list"):
        course(verb, "tyo")


@pytest.mark.parametrize("words", [(), ("list",), ("fetch",), ("verify",)])
def test_help(words, capsys):
    with pytest.raises(SystemExit) as stop:
        course(*words, "--help")
    assert stop.value.code == 0 and "usage:" in capsys.readouterr().out


def test_entries_are_complete():
    """Every file has a digest and a size, every entry what it owes."""
    names = [entry.name for entry in registry.ENTRIES]
    assert len(set(names)) == len(names) > 15
    for entry in registry.ENTRIES:
        assert entry.title and entry.licence and entry.origin, entry.name
        assert set(entry.chapters) <= set(range(1, 11)), entry.name
        digests = [m.sha256 for m in entry.members]
        if hasattr(entry.source, "sha256"):
            digests.append(entry.source.sha256)
        assert all(len(d) == 64 and int(d, 16) for d in digests), entry.name
        assert all(member.size > 0 for member in entry.members), entry.name


def modules():
    folder = course_utils.data.__path__
    return [m.name for m in pkgutil.iter_modules(folder)]


@pytest.mark.parametrize("name", modules())
def test_doctests(name):
    module = import_module(f"course_utils.data.{name}")
    assert doctest.testmod(module).failed == 0
    lines = Path(module.__file__).read_text("utf-8").splitlines()
    assert len(lines) <= 250 and max(map(len, lines)) <= 79
