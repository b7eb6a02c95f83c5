#!/bin/sh
# Tests on a GPU, then the benchmark: benchmarks/gpu.sh FOLDER writes its log and page there.
# PYTHON names the interpreter, which needs CuPy and what the tests need; PyTorch and cuML are compared with where there.
# ONLY, a part of the names of works, and ROUNDS make it shorter.
set -eu
mkdir -p "${1:?"usage: benchmarks/gpu.sh FOLDER"}"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PYTHONPATH="$PWD" SKNN_REQUIRE_GPU=1
status=0
"$python" -m pytest -q -m gpu -p no:cacheprovider > "$out/tests.log" 2>&1 || status=$?
tail -n 40 "$out/tests.log"
if command -v compute-sanitizer > /dev/null; then
    code="from tests.test_gpu import test_models_train_alike_twice as fit; fit()"
    for tool in memcheck racecheck synccheck initcheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -c "$code" >> "$out/sanitizer.log" 2>&1 || status=$?
    done
    grep "ERROR SUMMARY\|RACECHECK SUMMARY" "$out/sanitizer.log" || true
fi
"$python" -m benchmarks gpu --rounds "${ROUNDS:-3}" --only "${ONLY:-}" > "$out/gpu.md" 2> "$out/gpu.log" || status=$?
cat "$out/gpu.md"
exit "$status"
