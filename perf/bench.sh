#!/usr/bin/env bash
# Measures clustercore beside its floors and peers. `perf/bench.sh --help` lists what it can do.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/perf${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
exec "$python" -m runner "$@"
