"""Ctrl-C before any line of sknn."""

import sys


def interrupted(call, stop_at, module="sknn"):
    """Run a call, raising KeyboardInterrupt before the line of that number; return the number of lines that ran.

    Lines are counted in a module and all below it. A call may take the interrupt itself.
    """
    seen = 0

    def trace(frame, event, argument):
        nonlocal seen
        if not frame.f_globals.get("__name__", "").startswith(module):
            return None
        if event == "line":
            seen += 1
            if seen - 1 == stop_at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return seen
