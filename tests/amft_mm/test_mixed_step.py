"""The derivative of an optimizer step by the mix, against finite differences of the real step."""

import copy

import pytest
import torch

from amft_mm.learning.mixed_step import WHOLE, MixedStep

DOUBLE = torch.float64


def parameters(generator, sizes=((3, 4), (5,))):
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=DOUBLE)) for s in sizes]


def adamw(params, **changes):
    settings = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, **changes}
    return torch.optim.AdamW(params, **settings)


def give(params, gradients):
    for parameter, gradient in zip(params, gradients, strict=True):
        parameter.grad = gradient.clone()


def noise(params, generator):
    """Gradients of these parameters, at random."""
    return [torch.randn(p.shape, generator=generator, dtype=DOUBLE) for p in params]


def one_step(params, state, g_r, g_s, mu, max_norm, rho=0.0, scale=1.0, tangent="exact", **changes):
    """A step of a copy; its parameters, its z, and what it was made of."""
    mine = [torch.nn.Parameter(p.detach().clone()) for p in params]
    optimizer = adamw(mine, **changes)
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))
    mixed = MixedStep(optimizer, max_norm, rho, tangent=tangent)
    give(mine, g_r)
    mixed.take_exploration()
    give(mine, g_s)
    report = mixed.mix(mu, scale)
    return mine, mixed, (report, mixed.step())


def after(steps, generator, **changes):
    """Parameters and optimizer state that have a history."""
    params = parameters(generator)
    optimizer = adamw(params, **changes)
    for _ in range(steps):
        give(params, noise(params, generator))
        optimizer.step()
    return params, optimizer.state_dict() if steps else None


@pytest.mark.parametrize("max_norm", [None, 1.0, 1e6])
@pytest.mark.parametrize("steps", [0, 1, 49])
@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_z_equals_finite_differences_of_the_real_step(max_norm, steps, mu, eps):
    generator = torch.Generator().manual_seed(steps)
    params, state = after(steps, generator, eps=eps)
    g_r, g_s = (noise(params, generator) for _ in "rs")
    scale, h = 0.7, 1e-6
    _, mixed, _ = one_step(params, state, g_r, g_s, mu, max_norm, scale=scale, eps=eps)
    up, _, _ = one_step(params, state, g_r, g_s, mu + h, max_norm, scale=scale, eps=eps)
    down, _, _ = one_step(params, state, g_r, g_s, mu - h, max_norm, scale=scale, eps=eps)
    for z, high, low in zip(mixed.z[WHOLE].values(), up, down, strict=True):
        finite = (high - low) / (2 * h)
        assert torch.allclose(z, finite, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_a_plain_z_is_that_of_plain_descent(max_norm):
    """Against finite differences of a clipped step of SGD."""
    generator = torch.Generator().manual_seed(3)
    params, state = after(5, generator)
    g_r, g_s = (noise(params, generator) for _ in "rs")

    def descended(mu):
        mine = [torch.nn.Parameter(p.detach().clone()) for p in params]
        give(mine, [(1 - mu) * r + mu * s for r, s in zip(g_r, g_s, strict=True)])
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(mine, max_norm)
        torch.optim.SGD(mine, lr=0.01).step()
        return mine

    _, mixed, _ = one_step(params, state, g_r, g_s, 0.3, max_norm, tangent="plain_descent")
    h = 1e-6
    for z, high, low in zip(
        mixed.z[WHOLE].values(), descended(0.3 + h), descended(0.3 - h), strict=True
    ):
        assert torch.allclose(z, (high - low) / (2 * h), rtol=1e-4, atol=1e-9)


def test_at_the_first_step_of_a_fresh_optimizer_the_mix_hardly_matters():
    generator = torch.Generator().manual_seed(0)
    params = parameters(generator)
    g_r, g_s = (
        [torch.rand(p.shape, generator=generator, dtype=DOUBLE) + 1 for p in params] for _ in "rs"
    )
    fresh = one_step(params, None, g_r, g_s, 0.5, None)[1]
    params, state = after(30, generator)
    used = one_step(params, state, g_r, g_s, 0.5, None)[1]
    size = [max(float(z.abs().max()) for z in mixed.z[WHOLE].values()) for mixed in (fresh, used)]
    assert size[0] < 1e-6 < 1e-4 < size[1]


@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_pure_mixes_are_pure_to_the_bit(max_norm):
    """mu = 0 and mu = 1 step as AdamW does on one gradient, whatever the other holds."""
    generator = torch.Generator().manual_seed(1)
    params, state = after(3, generator)
    g_r, g_s = (noise(params, generator) for _ in "rs")
    for mu, pure in ((0.0, g_r), (1.0, g_s)):
        mine = one_step(params, state, g_r, g_s, mu, max_norm)[0]
        plain = [torch.nn.Parameter(p.detach().clone()) for p in params]
        optimizer = adamw(plain)
        optimizer.load_state_dict(copy.deepcopy(state))
        give(plain, pure)
        if max_norm is not None:
            norm = float(sum((g.double() ** 2).sum() for g in pure)) ** 0.5
            for parameter in plain:
                parameter.grad.mul_(max_norm / norm)
        optimizer.step()
        assert all(map(torch.equal, mine, plain))
    without = one_step(
        params, state, g_r, [torch.full_like(g, torch.nan) for g in g_s], 0.0, max_norm
    )
    assert without[2][1].finite
    assert not without[1].z  # nothing to learn from
    assert all(torch.isfinite(p).all() for p in without[0])


def test_a_gradient_that_is_not_finite_leaves_everything_as_it_was():
    generator = torch.Generator().manual_seed(2)
    params, state = after(3, generator)
    g_r = noise(params, generator)
    g_s = [torch.full_like(g, torch.inf) for g in g_r]
    mine, mixed, report = one_step(params, state, g_r, g_s, 0.5, 1.0)
    assert not report[1].finite
    assert all(torch.equal(a, b) for a, b in zip(mine, params, strict=True))
    assert all(p.grad is None for p in mine)
    assert mixed.z == {}


def test_the_report_says_what_was_mixed():
    generator = torch.Generator().manual_seed(3)
    params, state = after(2, generator)
    g_r = noise(params, generator)
    g_s = [-2 * g for g in g_r]
    _, _, (report, stepped) = one_step(params, state, g_r, g_s, 0.25, None)
    norm = float(sum((g**2).sum() for g in g_r)) ** 0.5
    assert report.exploration_norm == pytest.approx(norm)
    assert report.imitation_norm == pytest.approx(2 * norm)
    assert report.cosine == pytest.approx(-1)
    assert stepped.norm == pytest.approx(abs(0.75 - 0.5) * norm)
    assert report.effective_ratio(0.25) == pytest.approx(0.25 * 2 / 0.75)


def test_missing_gradients_count_as_zero():
    """LoRA, frozen parts, a batch without demonstrations."""
    generator = torch.Generator().manual_seed(4)
    params, _ = after(0, generator)
    optimizer = adamw(params)
    mixed = MixedStep(optimizer, 1.0)
    params[0].grad = torch.ones_like(params[0])
    mixed.take_exploration()
    params[1].grad = torch.ones_like(params[1])
    assert mixed.mix(0.5).cosine == 0.0
    assert mixed.step().finite
    assert set(mixed.z[WHOLE]) == set(params)
    mixed.take_exploration()
    mixed.mix(0.5)
    assert mixed.step().norm == 0.0


def walked(
    params,
    state,
    gradients,
    mus,
    max_norm,
    rho,
    *,
    tangent="exact",
    learnt=(),
    updates=1,
    **changes,
):
    """Updates, so many a step, of a copy on these gradients: a part's (g_R, g_S) by update, and its mu by
    update; None among an update's gradients is a parameter that has none. The lr changes from one to the
    next."""
    mine = [torch.nn.Parameter(p.detach().clone()) for p in params]
    optimizer = adamw(mine, **changes)
    optimizer.load_state_dict(copy.deepcopy(state))
    mixed = MixedStep(optimizer, max_norm, rho, tangent=tangent, several=updates > 1)
    for step in range(len(next(iter(mus.values())))):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + 0.1 * step)
        for part, of_part in gradients.items():
            for number, some in enumerate(of_part[step]):
                for parameter, gradient in zip(mine, some, strict=True):
                    parameter.grad = None if gradient is None else gradient.clone()
                if number == 0:
                    mixed.take_exploration()
            learn = not learnt or step in learnt
            mixed.mix(mus[part][step], 0.8, part=part, weight=WEIGHTS[part], learn=learn)
        mixed.step(again=step % updates > 0)
    return mine, mixed


WEIGHTS = {"streets": 0.7, "cards": 0.3}


def several(params, generator, steps, missing=()):
    """Gradients of both parts; the second parameter has none in the steps that are `missing`."""
    found = {
        part: [[noise(params, generator) for _ in "rs"] for _ in range(steps)] for part in WEIGHTS
    }
    for of_part in found.values():
        for step in missing:
            for some in of_part[step]:
                some[1] = None
    return found


def by_differences(params, state, gradients, mus, max_norm, part, weights, **changes):
    """d theta / d mu of a part by central differences, the mu of each step moved by its weight."""
    h = 1e-5
    up, down = (
        walked(
            params,
            state,
            gradients,
            mus | {part: [m + e * w for m, w in zip(mus[part], weights, strict=True)]},
            max_norm,
            0.0,
            **changes,
        )[0]
        for e in (h, -h)
    )
    return torch.cat(
        [((a - b) / (2 * h)).detach().flatten() for a, b in zip(up, down, strict=True)]
    )


def together(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


@pytest.mark.parametrize("steps", [1, 10, 50])
@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("rho", [0.0, 0.9, 1.0])
def test_the_tangent_is_exact_over_many_steps(steps, max_norm, rho):
    """Momentum carries a mix's effect on. Decay, clipping, a changing lr, two parts, and steps in which
    a parameter has no gradient."""
    generator = torch.Generator().manual_seed(steps)
    params, state = after(20, generator)
    gradients = several(params, generator, steps, missing=range(3, steps, 4))
    mus = {"streets": [0.3] * steps, "cards": [0.6] * steps}
    mine, mixed = walked(params, state, gradients, mus, max_norm, rho)
    weights = [rho ** (steps - 1 - s) for s in range(steps)]
    for part in gradients:
        finite = by_differences(params, state, gradients, mus, max_norm, part, weights)
        found = together(mixed.z[part][p] for p in mine)
        assert float((found - finite).norm() / finite.norm()) < 1e-6


@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("rho", [0.0, 0.9, 1.0])
def test_the_horizon_counts_steps_and_not_updates(max_norm, rho):
    """Defect: each of four updates took rho off, so that what should fade over ten steps did over two and a
    half, and with rho = 0 a look saw the last update alone. Exact all the same, also where a part or a
    parameter is not in all updates of a step."""
    updates, steps = 4, 3
    count, generator = updates * steps, torch.Generator().manual_seed(3)
    params, state = after(20, generator)
    gradients = several(params, generator, count, missing=(1, 4, 9))
    absent = [
        [[None, None], [None, None]] if k in (5, 8) else g for k, g in enumerate(gradients["cards"])
    ]
    gradients["cards"] = absent
    mus = {"streets": [0.3] * count, "cards": [0.6] * count}
    mine, mixed = walked(params, state, gradients, mus, max_norm, rho, updates=updates)
    weights = [rho ** (steps - 1 - k // updates) for k in range(count)]
    for part in gradients:
        finite = by_differences(params, state, gradients, mus, max_norm, part, weights)
        found = together(mixed.z[part][p] for p in mine)
        assert float((found - finite).norm() / finite.norm()) < 1e-6


def test_a_first_update_that_is_not_finite_leaves_the_horizon_to_the_next():
    """Or with rho = 0 the step before would still be seen."""
    generator = torch.Generator().manual_seed(3)
    params, state = after(20, generator)
    gradients = {"streets": several(params, generator, 4)["streets"]}
    for some in gradients["streets"][2]:
        some[0] = some[0] * float("nan")
    mus = {"streets": [0.3] * 4}
    mine, mixed = walked(params, state, gradients, mus, 1.0, 0.0, updates=2)
    finite = by_differences(params, state, gradients, mus, 1.0, "streets", [0.0, 0.0, 0.0, 1.0])
    found = together(mixed.z["streets"][p] for p in mine)
    assert float((found - finite).norm() / finite.norm()) < 1e-6


def test_steps_that_do_not_learn_mu_still_carry_what_it_did():
    """The moments' tangent decays and goes on moving the weights."""
    steps, learnt = 12, range(3)
    generator = torch.Generator().manual_seed(8)
    params, state = after(20, generator)
    gradients = several(params, generator, steps)
    mus = {"streets": [0.3] * steps, "cards": [0.6] * steps}
    mine, mixed = walked(params, state, gradients, mus, 1.0, 1.0, learnt=learnt)
    weights = [float(s in learnt) for s in range(steps)]
    finite = by_differences(params, state, gradients, mus, 1.0, "streets", weights)
    found = together(mixed.z["streets"][p] for p in mine)
    assert float((found - finite).norm() / finite.norm()) < 1e-6


def test_the_cheaper_tangent_leaves_out_what_momentum_does_later():
    steps, generator = 10, torch.Generator().manual_seed(9)
    params, state = after(20, generator)
    gradients = several(params, generator, steps)
    mus = {"streets": [0.3] * steps, "cards": [0.6] * steps}
    found = {
        kind: together(
            walked(params, state, gradients, mus, None, 0.9, tangent=kind)[1].z["cards"].values()
        )
        for kind in ("exact", "last_step", "plain_descent")
    }
    cosine = torch.cosine_similarity(found["exact"], found["last_step"], dim=0)
    assert 0.3 < float(cosine) < 0.98
    assert float(found["last_step"].norm()) < 0.6 * float(found["exact"].norm())
    assert float(torch.cosine_similarity(found["exact"], found["plain_descent"], dim=0)) > 0


def test_weights_that_never_had_a_gradient_have_no_derivative():
    """Rows of a vocabulary that is hardly used, in float32, where eps squared times nothing is nothing."""
    weight = torch.nn.Parameter(torch.randn(4))
    mixed = MixedStep(torch.optim.AdamW([weight], lr=0.01), 1.0, 0.9)
    for _ in range(3):
        for size in (1e-25, 2e-25):
            weight.grad = torch.tensor([0.0, size, 1.0, size / 1e-25])
            if size == 1e-25:
                mixed.take_exploration()
        mixed.mix(0.5)
        mixed.step()
    z = mixed.z[WHOLE][weight]
    assert torch.isfinite(z).all()
    assert float(z[0]) == 0.0


def named(parameters):
    return {parameter: f"p{i}" for i, parameter in enumerate(parameters)}


def test_a_tangent_comes_back_to_the_bit():
    """What is saved and read again goes on as if it had never stopped, moments included."""
    generator = torch.Generator().manual_seed(10)
    params, state = after(5, generator)
    gradients = several(params, generator, 6)
    mine, mixed = walked(
        params, state, {"cards": gradients["cards"][:3]}, {"cards": [0.3] * 3}, 1.0, 0.9
    )
    again = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    optimizer = adamw(again)
    optimizer.load_state_dict(copy.deepcopy(mixed.optimizer.state_dict()))
    other = MixedStep(optimizer, 1.0, 0.9)
    kept = copy.deepcopy(mixed.state_dict(named(mine)))
    other.load_state_dict(kept, named(again))
    for g_r, g_s in gradients["cards"][3:]:
        for own, step in ((mine, mixed), (again, other)):
            give(own, g_r)
            step.take_exploration()
            give(own, g_s)
            step.mix(0.4, part="cards")
            step.step()
    for a, b in zip(mine, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(mixed.z["cards"][a], other.z["cards"][b])


def test_along_is_the_product_with_the_next_gradient_and_survives_saving():
    generator = torch.Generator().manual_seed(6)
    params, state = after(5, generator)
    g_r, g_s = (noise(params, generator) for _ in "rs")
    mine, mixed, _ = one_step(params, state, g_r, g_s, 0.4, 1.0)
    nxt = [torch.randn(p.shape, generator=generator, dtype=DOUBLE) for p in mine]
    give(mine, nxt)
    expected = float(sum((a * b).sum() for a, b in zip(nxt, mixed.z[WHOLE].values(), strict=True)))
    assert mixed.along() == pytest.approx(expected)
    other = MixedStep(adamw(mine), 1.0)
    other.load_state_dict(copy.deepcopy(mixed.state_dict(named(mine))), named(mine))
    assert other.along() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: MixedStep(torch.optim.SGD(p, lr=0.1)), "SGD"),
        (lambda p: MixedStep(adamw(p, amsgrad=True)), "amsgrad"),
        (lambda p: MixedStep(adamw(p), max_norm=0.0), "max_norm"),
        (lambda p: MixedStep(adamw(p), rho=1.1), "rho"),
        (lambda p: MixedStep(adamw(p), tangent="close"), "tangent"),
    ],
)
def test_what_has_another_derivative_is_refused(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make(parameters(torch.Generator()))


@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_each_part_of_a_step_has_its_own_derivative(max_norm):
    """Two environments with a mu each: z of each equals finite differences by its own mu."""
    generator = torch.Generator().manual_seed(7)
    params, state = after(20, generator)
    gradients = {part: [noise(params, generator) for _ in "rs"] for part in ("streets", "cards")}
    weights = {"streets": 0.7, "cards": 0.3}

    def stepped(mus):
        mine = [torch.nn.Parameter(p.detach().clone()) for p in params]
        optimizer = adamw(mine)
        optimizer.load_state_dict(copy.deepcopy(state))
        mixed = MixedStep(optimizer, max_norm)
        for part, (g_r, g_s) in gradients.items():
            give(mine, g_r)
            mixed.take_exploration()
            give(mine, g_s)
            mixed.mix(mus[part], 1.3, part=part, weight=weights[part])
        mixed.step()
        return mine, mixed

    mus, h = {"streets": 0.2, "cards": 0.9}, 1e-6
    _, mixed = stepped(mus)
    for part in gradients:
        up, down = (stepped(mus | {part: mus[part] + e})[0] for e in (h, -h))
        for z, high, low in zip(mixed.z[part].values(), up, down, strict=True):
            assert torch.allclose(z, (high - low) / (2 * h), rtol=1e-5, atol=1e-8)
