"""Runs cases, counts them, and makes findings small."""

import faulthandler
import re
import sys
import time
from collections import Counter
from dataclasses import replace

from tests.fuzz.cases import Finding, make_case
from tests.fuzz.known import KNOWN
from tests.fuzz.oracles import FIRST, OF_FITTED

DEADLINE = 60  # seconds of a processor for all calls of one oracle, compiling included
WATCHDOG = 300  # seconds until a case that hangs is ended with a traceback


def findings_of(case, counts=None):
    """Return what the oracles find in a case, by the oracle's name."""
    counts, found = Counter() if counts is None else counts, {}
    counts["cases"] += 1
    faulthandler.dump_traceback_later(WATCHDOG, exit=True, file=sys.__stderr__)
    try:
        for oracle in oracles_of(case, counts):
            text = _finding_of(oracle, case, counts)
            if text is not None:
                found[oracle.__name__] = text
    finally:
        faulthandler.cancel_dump_traceback_later()
    return found


def oracles_of(case, counts):
    """Yield the oracles of a case: all of them if it can be fitted."""
    yield FIRST
    try:
        is_refused = case.fitted is None
    except Exception:  # which the first oracle has found
        return
    counts["refused"] += is_refused
    if not is_refused:
        yield from OF_FITTED


def _finding_of(oracle, case, counts):
    started = time.process_time()
    try:
        counts[oracle.__name__] += oracle(case) is not False
    except Finding as finding:
        text = str(finding)
    except Exception as error:
        text = f"{type(error).__name__}: {str(error)[:300]}"
    else:
        took = time.process_time() - started
        text = f"took {took:.0f} s" if took > DEADLINE else None
    if text is not None and _is_known(oracle.__name__, text):
        counts["known"] += 1
        return None
    return text


def _is_known(name, text):
    return any(re.fullmatch(names, name) and re.search(words, text) for names, words, _ in KNOWN)


def smaller(case, name):
    """Return a case with as few parameters as possible in which the same oracle finds something."""
    [oracle] = [oracle for oracle in (FIRST, *OF_FITTED) if oracle.__name__ == name]
    for parameter in list(case.parameters):
        parameters = {other: value for other, value in case.parameters.items() if other != parameter}
        fewer = replace(make_case(case.seed), parameters=parameters)
        if _finding_of(oracle, fewer, Counter()):
            case = fewer
    return case


def run(seeds, until=None, out=sys.stdout):
    """Run the cases of some seeds, print the findings, and return the counts."""
    counts = Counter()
    for seed in seeds:
        if until is not None and time.monotonic() > until:
            break
        print(f"\rcase({seed})", end="", file=sys.stderr, flush=True)
        case = make_case(seed)
        for oracle, text in findings_of(case, counts).items():
            counts["findings"] += 1
            print(f"\n{oracle}: {text}\n  {case!r}\n  smaller: {smaller(case, oracle)!r}", file=out, flush=True)
    print(f"\n{dict(counts)}", file=out)
    return counts
