"""Workers of a search share the cores: none of them takes more than its part."""

import json
import os
import subprocess
import sys

import pytest
from joblib import cpu_count

SCRIPT = """
import json
from joblib import Parallel, cpu_count, delayed

def threads():
    import numpy as np
    from threadpoolctl import threadpool_info
    from sknn import MLPClassifier
    from sknn._backend.cpu.backend import thread_count
    MLPClassifier((4,), max_iter=1, solver="sgd").partial_fit(np.eye(4), [0, 1, 0, 1], classes=[0, 1])
    return [thread_count(), *(pool["num_threads"] for pool in threadpool_info())]

if __name__ == "__main__":
    print(json.dumps(Parallel(cpu_count(), "loky")(delayed(threads)() for _ in range(cpu_count()))))
"""


@pytest.mark.slow
def test_workers_of_a_search_do_not_oversubscribe(tmp_path):
    """One worker a core, by joblib's loky as GridSearchCV has it: a thread each for BLAS and for sknn's own."""
    script = tmp_path / "workers.py"
    script.write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = os.getcwd()
    command = [sys.executable, str(script)]
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    workers = json.loads(printed)
    assert len(workers) == cpu_count()
    assert all(set(threads) == {1} for threads in workers), workers
