"""Wrong settings are answered with the nearest right name."""

import pytest

from amft_mm.config.overrides import check_overrides


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("env=vril", "Did you mean virl"),
        ("trian.steps=3", "Did you mean train.steps"),
        ("steps=4", "Did you mean train.steps"),
        ("env.modalty=text", "Did you mean env.modality"),
        ("method=amtf", "Did you mean amft"),
        ("env=nope", "There are: general_points"),
        ("foo", "settings are written name=value"),
    ],
)
def test_what_is_not_known_is_told_with_what_is(given, told):
    with pytest.raises(SystemExit, match=told):
        check_overrides("train", [given])


def test_what_is_known_passes():
    fine = ["env=math", "env.source=countdown", "train.steps=3", "+env.extra=1", "~demos.corrupt"]
    check_overrides("train", [*fine, "++method.balance.doubt=0"])  # of a method's own, in no file
    check_overrides("train", ["--help"])
    check_overrides("demos", ["env=virl", "n=3", "corrupt.share=0.5"])
