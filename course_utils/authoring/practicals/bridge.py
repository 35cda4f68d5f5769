"""nbgrader's side, run by the Python of .venv-grading: gradebook and feedback pages.

Reads one request a line (JSON) from standard input and answers each with one line. It
imports nothing of the course: the two environments share files, not code.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

class Bridge:
    """One gradebook, one assignment."""

    def __init__(self, folder: str, assignment: str) -> None:
        self.url = f"sqlite:///{Path(folder) / 'gradebook.db'}"
        self.assignment = assignment
        from nbconvert.exporters import HTMLExporter
        from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
        from nbgrader.preprocessors import GetGrades
        from nbgrader.server_extensions import formgrader
        from traitlets.config import Config

        pages = Path(formgrader.__file__).parent
        styles = pages / "static" / "node_modules" / "bootstrap" / "dist" / "css"
        config = Config()
        config.HTMLExporter.template_name = "feedback"
        config.HTMLExporter.extra_template_basedirs = [str(pages / "templates")]
        config.HTMLExporter.extra_template_paths = [str(styles)]
        config.HTMLExporter.preprocessors = [GetGrades, CSSHTMLHeaderPreprocessor]
        self.exporter = HTMLExporter(config=config)

    def resources(self, student: str = "") -> dict:
        return {
            "nbgrader": {
                "student": student, "assignment": self.assignment,
                "notebook": self.assignment, "db_url": self.url,
            },
            "metadata": {"name": self.assignment, "path": ""},
            "unique_key": self.assignment,
            "output_files_dir": "",
        }

    def open(self, source: str) -> dict:
        """Describe the assignment in the gradebook."""
        from nbgrader.api import Gradebook
        from nbgrader.preprocessors import SaveCells

        with Gradebook(self.url) as book:
            book.update_or_create_assignment(self.assignment)
        notebook = _read(source)
        SaveCells().preprocess(notebook, self.resources())
        return {}

    def record(self, student: str, about: dict, notebook: str) -> dict:
        """Keep the grades of one executed notebook; marks given by hand stay."""
        from nbgrader.api import Gradebook
        from nbgrader.preprocessors import SaveAutoGrades

        executed = _read(notebook)
        with Gradebook(self.url) as book:
            book.update_or_create_student(student, **about)
            book.update_or_create_submission(self.assignment, student)
        SaveAutoGrades().preprocess(executed, self.resources(student))
        return {}

    def feedback(self, student: str, notebook: str, page: str) -> dict:
        """Write the page that a student gets."""
        shown = _read(notebook)
        html, _ = self.exporter.from_notebook_node(shown, self.resources(student))
        Path(page).parent.mkdir(parents=True, exist_ok=True)
        Path(page).write_text(html, encoding="utf-8")
        return {}

    def grades(self) -> dict:
        """All grades of the assignment: student, cell, what the checks and a person gave."""
        from nbgrader.api import Gradebook, MissingEntry

        found: dict = {}
        with Gradebook(self.url) as book:
            try:
                submissions = book.assignment_submissions(self.assignment)
            except MissingEntry:
                return {"grades": {}}
            for submission in submissions:
                cells = found.setdefault(submission.student.id, {})
                for notebook in submission.notebooks:
                    for grade in notebook.grades:
                        cells[grade.name] = {
                            "auto": grade.auto_score, "manual": grade.manual_score,
                            "extra": grade.extra_credit, "score": grade.score,
                            "waiting": bool(grade.needs_manual_grade),
                        }
        return {"grades": found}


def _read(path: str):
    import nbformat

    return nbformat.read(path, 4)


def main() -> None:
    """Answer requests until there are no more."""
    logging.disable(logging.WARNING)
    answers = sys.stdout
    sys.stdout = sys.stderr
    bridge = None
    for line in sys.stdin:
        request = json.loads(line)
        job = request.pop("job")
        try:
            if job == "begin":
                bridge, answer = Bridge(**request), {}
            else:
                answer = getattr(bridge, job)(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
