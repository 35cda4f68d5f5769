"""What all tests share: an interrupt is one, even where the shell that began ignores it."""

import signal


def pytest_configure():
    """A job in the background is born deaf to SIGINT, and so are the programs it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
