"""Code shared by the chapters of *How machines represent text and sequences*.

Importing the package loads nothing heavy: a chapter imports the modules it needs,
``from course_utils import data, plotting, runtime``. CONTRIBUTING.md draws the layers.
"""

__version__ = "0.1.0"
