"""Practical sessions: one master each; released, proved, graded and exported from it.

`master` reads the master, `regions` cuts solutions and hidden checks out of cells,
`versions` builds the student, solution and grading notebooks, `mutants` and `proof` show
that the checks tell right from wrong. For grading, `submissions` finds what was handed in,
`matching` puts its cells back in order, `server` and `child` run them behind a fence,
`grading` keeps the books, `bridge` is nbgrader's side, `exports` writes the lists.
"""
