"""Run by .ci/run inside an environment that holds nothing but the wheel, outside the checkout."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import gymnasium

checkout = Path(__file__).resolve().parent.parent
for name in ("amft/GeneralPoints-v0", "amft/VIRL-v0", "amft/Math-v0"):
    env = gymnasium.make(name)  # no import of this project: the wheel alone makes it known
    observation, info = env.reset(seed=0)
    _, reward, *_, info = env.step(env.unwrapped.expert())
    assert reward > 0, (name, info)
    print(f"{name}: the expert's first answer earns {reward}")

import amft_mm  # noqa: E402
import envs  # noqa: E402

for package in (amft_mm, envs):
    assert checkout not in Path(package.__file__).resolve().parents, package.__file__

# Site-packages is shared: no generic name of ours may lie there but those of the two packages.
ours = distribution("amft-mm")
tops = {path.parts[0] for path in ours.files or ()} - {"__pycache__", ".."}
assert tops == {
    "envs",
    "agents",
    "amft_mm",
    "amft_mm_gymnasium.py",
    "amft_mm_gymnasium.pth",
    f"amft_mm-{ours.version}.dist-info",
}, tops

assert {path.name for path in ours.files or () if path.parts[0] == ".."} == {"amft-mm"}

# What git ignores is left out of a wheel: a package's folder must not be called like what is ignored.
installed = {path.as_posix() for path in ours.files or ()}
for package in ("envs", "agents", "amft_mm"):
    sources = {p.relative_to(checkout).as_posix() for p in (checkout / package).rglob("*.py")}
    assert sources <= installed, sources - installed

# Hydra finds the configurations where the wheel has them.
told = subprocess.run(
    [sys.executable, "-P", "-m", "amft_mm.train", "env=general_points", "--cfg=job"],
    capture_output=True,
    text=True,
    check=True,
).stdout
assert "id: amft/GeneralPoints-v0" in told, told

from agents.policy import Policy  # noqa: E402

policy = Policy.load("tiny", device="cpu")
assert policy.chat_format.text(policy.chat_format.answer("forward()")) == "forward()"
print("the wheel works outside the checkout")
