"""A process that has loaded the modules of a session, and makes a copy for each submission.

    python -m course_utils.authoring.practicals.server SOCKET MODULES

Loading torch takes seconds, copying a process that has loaded it milliseconds. The server
itself never runs a line of a submission, and knows nothing of a session but its modules: no
solution and no check is ever in its memory. Each copy has a keeper, which ends all that the
submission has started when it is over.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys

from . import child, fence, shell


def main() -> None:
    """Load, say that we are ready, then copy as often as asked."""
    control = socket.socket(fileno=int(sys.argv[1]))
    loaded = [name for name in json.loads(sys.argv[2]) if _load(name)]
    able = fence.probe()
    ready = shell.start()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.sendall(json.dumps({"loaded": loaded}).encode() + b"\n")
    while True:
        message, doors, _, _ = socket.recv_fds(control, 1 << 16, 2)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            around = fence.Fence(**json.loads(message))
            around.namespaces &= able
            _begin(ready, around, *doors)
        for door in doors:
            os.close(door)


def _load(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:
        return False
    return True


def _begin(ready, around: fence.Fence, commands: int, replies: int) -> None:
    """In the copy: separate, and start the keeper; never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        fence.end_with_parent()
        if not fence.separate(around):
            child._send(replies, {"keeper": os.getpid()})
            _keep(ready, around, commands, replies)
        fence.end_with_parent()
        keeper = os.fork()
        if keeper == 0:
            fence.end_with_parent()
            fence.hide(around)
            _keep(ready, around, commands, replies)
        child._send(replies, {"keeper": keeper})
        os.close(commands)
        os.close(replies)
        os.waitpid(keeper, 0)
    finally:
        os._exit(0)


def _keep(ready, around: fence.Fence, commands: int, replies: int) -> None:
    """Keep watch over the submission: pass on an interrupt, end everything at its end."""
    student = os.fork()
    if student == 0:
        try:
            fence.end_with_parent()
            os.setsid()
            fence.limit(around)
            fence.drop(around)
            child.serve(ready, around, commands, replies)
        finally:
            os._exit(1)
    os.close(commands)
    os.close(replies)

    def end(*_) -> None:
        fence.sweep(student)
        os._exit(0)

    signal.signal(signal.SIGUSR1, lambda *_: os.kill(student, signal.SIGINT))
    signal.signal(signal.SIGTERM, end)
    while True:
        try:
            if os.wait()[0] == student:
                break
        except ChildProcessError:
            break
    end()


if __name__ == "__main__":
    main()
