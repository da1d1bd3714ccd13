#!/usr/bin/env bash
# Try the oldest supported torch and torchvision in a fresh virtual environment:
#   scripts/oldest_pair.sh [FOLDER]
# Installs torch 2.6.0 with torchvision 0.21.0, then the package with its test extra beside them (the pair must stay), and
# runs the parts of the suite that lean on torch. FOLDER (default: a temporary one) holds the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$(mktemp -d)}
python3 -m venv "$folder"
"$folder/bin/pip" install -q 'torch==2.6.0' 'torchvision==0.21.0'
"$folder/bin/pip" install -q -e '.[test]'
"$folder/bin/python" - <<'PY'
import torch, torchvision
print("torch", torch.__version__, "torchvision", torchvision.__version__)
assert torch.__version__.startswith("2.6.") and torchvision.__version__.startswith("0.21.")
PY
"$folder/bin/cnn-explorer" train lenet5 --epochs 2 --runs "$folder/runs"
"$folder/bin/python" -m pytest -n 2 tests/test_resnet.py tests/test_vit.py tests/test_anatomy.py tests/test_walk_and_formulas.py \
  tests/test_compare_and_memory.py tests/test_update.py tests/test_loop.py tests/test_checkpoint.py tests/test_augment.py \
  tests/test_optim.py tests/test_muon_lamb.py tests/test_sharpness.py tests/test_warmup.py tests/test_calibrate.py tests/test_balance.py \
  tests/test_initial.py tests/test_pretrained.py tests/test_export_weights.py tests/test_findrate.py tests/test_ranks.py \
  tests/test_out_of_memory.py tests/test_hostile.py tests/test_bench.py
