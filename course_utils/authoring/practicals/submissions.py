"""Find what was handed in: a zip as Moodle or Canvas gives it, a folder, or single files.

Nothing is unpacked to disk. What cannot be read is not an error of the batch: it becomes a
submission with a `problem`, for a person to look at.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ..project import CourseError

MOODLE = re.compile(r"^(?P<name>.+)_(?P<moodle>\d+)_assignsubmission_\w+?(?:_(?P<rest>.*))?$")
CANVAS = re.compile(
    r"^(?P<name>[^\W_]+)_(?P<late>LATE_)?(?P<canvas>\d+)_\d+_(?P<rest>.+)$", re.I
)
LARGEST = 300_000_000
KINDS = (".ipynb", ".zip")


@dataclass(frozen=True)
class File:
    """One file handed in: where it was, and how to read it."""

    path: PurePosixPath
    size: int
    time: tuple
    read: object = field(repr=False, compare=False)


@dataclass(frozen=True)
class Submission:
    """What one student handed in; `data` is None where there is a `problem`."""

    key: str
    name: str
    file: str = ""
    data: bytes | None = field(default=None, repr=False)
    problem: str = ""
    moodle: str = ""
    canvas: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of the file: the same file is never graded twice."""
        return hashlib.sha256(self.data or self.problem.encode()).hexdigest()[:16]


def collect(path: Path, practical: str) -> list[Submission]:
    """All submissions in a zip, a folder or a notebook, one for each student, by key.

    Raises
    ------
    CourseError
        If there is nothing at `path`, or no file in it.
    """
    if path.is_dir():
        files = list(_folder(path))
    elif path.suffix == ".zip" and zipfile.is_zipfile(path):
        files = list(_zip(zipfile.ZipFile(path)))
    elif path.is_file():
        files = [File(PurePosixPath(path.name), path.stat().st_size, (), path.read_bytes)]
    else:
        raise CourseError(f"{path}: expected a zip or a folder of submissions, found none.")
    students: dict[tuple, list[File]] = {}
    for file in files:
        students.setdefault(_whose(file.path), []).append(file)
    if not students:
        raise CourseError(f"{path}: it holds no file.")
    found, keys = [], set()
    for (name, moodle, canvas), own in sorted(students.items()):
        key = _key(name, moodle or canvas, keys)
        found.append(_chosen(Submission(key, name, moodle=moodle, canvas=canvas), own, practical))
    return found


def _folder(path: Path) -> Iterator[File]:
    for file in sorted(path.rglob("*")):
        relative = PurePosixPath(file.relative_to(path).as_posix())
        if file.is_file() and not file.is_symlink() and not _ignored(relative):
            stat = file.stat()
            yield File(relative, stat.st_size, (stat.st_mtime,), file.read_bytes)


def _zip(archive: zipfile.ZipFile) -> Iterator[File]:
    for info in archive.infolist():
        relative = PurePosixPath(info.filename)
        if not info.is_dir() and not _ignored(relative):
            yield File(relative, info.file_size, info.date_time,
                       lambda info=info: archive.read(info))


def _ignored(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _whose(path: PurePosixPath) -> tuple[str, str, str]:
    """(name, Moodle's number, Canvas's number) of who handed in the file at `path`."""
    first = path.parts[0]
    moodle = MOODLE.match(first if len(path.parts) > 1 else path.name)
    if moodle:
        return moodle["name"].strip(), moodle["moodle"], ""
    if len(path.parts) > 1:
        return first, "", ""
    canvas = CANVAS.match(path.name)
    if canvas:
        return canvas["name"], "", canvas["canvas"]
    return path.stem, "", ""


def _key(name: str, number: str, taken: set[str]) -> str:
    """A name for files: letters, digits and hyphens, different for each student."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = "-".join([*re.findall(r"[a-z0-9]+", plain), *([number] if number else [])])
    base = base[:80] or "student"
    key, count = base, 1
    while key in taken:
        count += 1
        key = f"{base}-{count}"
    taken.add(key)
    return key


def _chosen(student: Submission, files: list[File], practical: str) -> Submission:
    """The student with the notebook to grade, or with the reason why there is none."""
    try:
        files = [inner for file in files for inner in _opened(file)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        return replace(student, problem=f"a zip that cannot be read ({error})")
    notebooks = [file for file in files if file.path.suffix == ".ipynb"]
    if not notebooks:
        names = ", ".join(sorted(file.path.name for file in files)[:3])
        return replace(student, file=names, problem=f"no notebook (.ipynb), only: {names}")
    notebooks.sort(key=lambda file: (practical in file.path.name, file.time, str(file.path)))
    file, remarks = notebooks[-1], ()
    if len(notebooks) > 1:
        remarks = (f"{len(notebooks)} notebooks were handed in; graded: {file.path.name}",)
    student = replace(student, file=str(file.path), remarks=remarks)
    if file.size > LARGEST:
        return replace(student, problem=f"{file.size / 1e6:.0f} MB: too large to be read")
    try:
        return replace(student, data=file.read())
    except Exception as error:  # a broken or encrypted member of the zip
        return replace(student, problem=f"the file cannot be read ({error})")


def _opened(file: File) -> list[File]:
    """A zip that a student handed in, as the files in it; any other file as it is."""
    if file.path.suffix != ".zip" or file.size > LARGEST:
        return [file]
    return list(_zip(zipfile.ZipFile(io.BytesIO(file.read()))))


# ---- a notebook from bytes -------------------------------------------------------------


def parse(data: bytes) -> tuple[dict, str]:
    """The notebook in `data` and an empty string, or an empty one and what is wrong."""
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return {}, "not a text file"
    if not text.strip():
        return {}, "an empty file"
    if text.lstrip().startswith("<"):
        return {}, "a web page, not a notebook"
    try:
        found = json.loads(text)
    except RecursionError:
        return {}, "invalid JSON (nested without end)"
    except ValueError as error:
        return {}, f"invalid JSON ({error})"
    cells = found.get("cells") if isinstance(found, dict) else None
    if cells is None and isinstance(found, dict) and isinstance(found.get("worksheets"), list):
        cells = [c for sheet in found["worksheets"] for c in sheet.get("cells", [])]
    if not isinstance(cells, list):
        return {}, "JSON, but not a notebook"
    good = [cell for cell in (_cell(cell) for cell in cells) if cell]
    metadata = found.get("metadata")
    return {"cells": good, "metadata": metadata if isinstance(metadata, dict) else {}}, ""


def _cell(cell) -> dict | None:
    """One cell with the fields that we use, each of the right type."""
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    metadata = cell.get("metadata")
    outputs = cell.get("outputs")
    return {
        "cell_type": "code" if cell.get("cell_type") == "code" else "markdown",
        "source": source if isinstance(source, str) else "",
        "metadata": metadata if isinstance(metadata, dict) else {},
        "id": cell.get("id") if isinstance(cell.get("id"), str) else "",
        "outputs": outputs if isinstance(outputs, list) else [],
    }
