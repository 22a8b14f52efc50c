"""What a process that holds keys asks of the kernel."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_from_others() -> None:
    """Let no other process of this user read this one's environment and memory (prctl(2)).

    A decoder that somebody has broken into runs as the same user. What is forked inherits it, what
    is started as another program does not, and has no keys. On Linux; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
