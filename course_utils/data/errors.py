"""The one exception of the data registry, and the check that raises it.

Introduced with chapter 1. Below it: nothing.
"""


class DataError(RuntimeError):
    """Data that are missing, damaged or out of reach.

    Parameters
    ----------
    what : str
        What went wrong, in a few words.
    expected, got : object
        What should have been there, and what was there.
    todo : str
        What the reader can do about it.

    Examples
    --------
    >>> print(DataError("rows", expected=3, got=2, todo="Fetch again."))
    rows
      expected:   3
      got:        2
      what to do: Fetch again.
    """

    def __init__(self, what, *, expected, got, todo):
        self.what, self.todo = what, todo
        self.expected, self.got = expected, got
        super().__init__(
            f"{what}\n  expected:   {expected}\n  got:        {got}\n"
            f"  what to do: {todo}"
        )


class Unreachable(DataError):
    """Neither the cache, nor the mirror, nor the network has the data."""


def expect(what, expected, got, name):
    """Raise `DataError` unless ``got == expected``.

    Parameters
    ----------
    what : str
        The quantity that is compared, such as ``"training rows"``.
    expected, got : object
        Compared with ``==``.
    name : str
        The data set, as ``course data list`` shows it.
    """
    if got != expected:
        raise DataError(
            f"{name}: {what}",
            expected=expected,
            got=got,
            todo=f"Run `course data fetch {name} --again`. If the message "
            "stays, update course_utils.",
        )
