"""What is kept of each submission: one small file, written when its grade is final."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..notebook import write_text

GRADED, UNREADABLE, OTHER, FAILED = "graded", "unreadable", "another notebook", "grader failed"


@dataclass
class Record:
    """The grade of one submission, question by question, with the reasons.

    A submission that is not `graded` has no score, never a score of zero.
    """

    key: str
    name: str
    file: str
    digest: str
    master: str
    status: str = GRADED
    moodle: str = ""
    canvas: str = ""
    cells: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    attention: list[str] = field(default_factory=list)
    fences: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Write it whole or not at all: from then on the submission is done."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        write_text(text, folder / "records" / f"{self.key}.json")


def read(folder: Path) -> dict[str, Record]:
    """All records of a batch, by key."""
    found = {}
    for path in sorted((folder / "records").glob("*.json")):
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        found[record.key] = record
    return found
