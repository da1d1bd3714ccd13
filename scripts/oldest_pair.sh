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
"$folder/bin/python" -m pytest -n 2 tests/models/test_resnet.py tests/models/test_vit.py tests/models/test_anatomy.py \
  tests/models/test_walk_and_formulas.py tests/models/test_compare_and_memory.py tests/models/test_own_networks.py \
  tests/models/test_shapes_of_one.py tests/models/test_hidden_layers.py tests/models/test_receptive_field.py \
  tests/cli/test_old_versions.py tests/test_api.py \
  tests/trainer/test_{train_step,trainer,checkpoint,augment,optim,muon_lamb,sam,compile_warmup,calibrate}.py \
  tests/trainer/test_{class_balance,initialise,pretrained,export_weights,lr_finder,ranks,out_of_memory,hostile,bench}.py
