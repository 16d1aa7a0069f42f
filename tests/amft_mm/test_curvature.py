"""How imitation's gradient changes along z, and the derivative by mu that has it in."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.policy import Policy
from amft_mm.learning.curvature import gradient_along, growth, rescale
from amft_mm.learning.example import Example
from amft_mm.learning.mixed_step import WHOLE, MixedStep
from amft_mm.learning.objective import Objective
from amft_mm.methods.imitation import sft
from amft_mm.methods.parts import Scales
from tests.amft_mm.test_looks import conversation, learner_with_z, relative


def begun():
    """The same weights each time, and a steep bowl that draws them to its middle."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.nn.Parameter(torch.randn(20, dtype=torch.float64, generator=generator))
    root = torch.randn(20, 20, dtype=torch.float64, generator=generator)
    bowl, middle = root @ root.T, torch.randn(20, dtype=torch.float64, generator=generator)
    optimizer = torch.optim.AdamW([weights], lr=0.02, betas=(0.9, 0.95), weight_decay=0.01)
    return generator, weights, bowl, middle, optimizer


def walked(mu, max_norm, *, follow, balanced=False, steps=12, updates=3):
    """Exploration is noise, demonstrations are the bowl. Where the weights end, and z."""
    generator, weights, bowl, middle, optimizer = begun()
    scales = Scales()
    mixed = MixedStep(optimizer, max_norm, 1.0, tangent="curved", several=True)
    for update in range(steps * updates):
        weights.grad = 10 * torch.randn(20, dtype=torch.float64, generator=generator)
        mixed.take_exploration()
        weights.grad = bowl @ (weights.detach() - middle)
        z, scale = mixed.z.get(WHOLE, {}), 0.8
        along = {weights: bowl @ z[weights]} if z and follow else {}
        if balanced:
            scale = scales.update(mixed.exploration_norm(), float(weights.grad.norm()))
            if follow == "scale":
                rescale(along, scales.follow(growth(along), 1.0))
        mixed.mix(mu, scale, learn=update > 0, along=along)
        mixed.step(again=update % updates > 0)
    return weights.detach(), mixed.z[WHOLE][weights]


@pytest.mark.parametrize("max_norm", [None, 5.0])
def test_z_knows_that_demonstrations_draw_back_what_exploration_moved(max_norm):
    """Defect: with gradients taken as given z went on adding up what had long been drawn back. The first
    update, where Adam is a sign, is nobody's."""
    h, mu = 1e-6, 0.5

    def end(other):
        return walked_after_the_first(other, mu, max_norm)

    finite = (end(mu + h) - end(mu - h)) / (2 * h)
    curved, flat = (walked(mu, max_norm, follow=follow)[1] for follow in (True, False))
    assert relative(curved, finite) < 1e-6
    assert relative(flat, finite) > 0.1


def test_z_knows_that_the_scale_moves_as_well():
    """Defect: of a gradient that is brought to exploration's size z knew that it shrinks, and not that it is
    multiplied by more then."""
    h, mu = 1e-6, 0.5

    def end(other):
        return walked_after_the_first(other, mu, None, balanced=True)

    finite = (end(mu + h) - end(mu - h)) / (2 * h)
    whole, given = (walked(mu, None, follow=how, balanced=True)[1] for how in ("scale", True))
    assert relative(whole, finite) < 1e-6
    assert relative(given, finite) > 0.01


def walked_after_the_first(mu, first, max_norm, balanced=False):
    """As `walked`, by plain steps; mu holds from the second update on."""
    generator, weights, bowl, middle, optimizer = begun()
    scales, scale = Scales(), 0.8
    for update in range(36):
        explored = 10 * torch.randn(20, dtype=torch.float64, generator=generator)
        mix = mu if update else first
        drawn = bowl @ (weights.detach() - middle)
        if balanced:
            scale = scales.update(float(explored.norm()), float(drawn.norm()))
        weights.grad = (1 - mix) * explored + mix * scale * drawn
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_([weights], max_norm, error_if_nonfinite=True)
        optimizer.step()
    return weights.detach()


def test_the_change_of_a_gradient_is_the_hessian_times_z(tiny):
    """By differentiating twice; weights and gradient are afterwards what they were, to the bit."""
    learner, read = learner_with_z(tiny), [conversation(tiny, n) for n in range(4)]
    examples, objective = [Example(one) for one in read], Objective(sft.loss)
    z = learner.mixed.z[WHOLE]
    with sdpa_kernel(SDPBackend.MATH):
        loss = -tiny.score(read).log_probs.mean()
        own = [p for p in learner.parameters if p in z]
        first = torch.autograd.grad(loss, own, create_graph=True)
        product = sum((g * z[p]).sum() for g, p in zip(first, own, strict=True))
        exact = torch.autograd.grad(product, own)
    learner.gradients(examples, objective)
    before = [(p.detach().clone(), p.grad.clone()) for p in own]
    found = gradient_along(learner, WHOLE, examples, objective)
    assert relative(flat([p.grad for p in own]), flat(first)) < 1e-4
    for parameter, (weights, gradient) in zip(own, before, strict=True):
        assert torch.equal(parameter, weights)
        assert torch.equal(parameter.grad, gradient)
    assert relative(flat([found[p] for p in own]), flat(exact)) < 0.08
    learner.drop_gradients()


def test_without_a_z_or_in_coarse_arithmetic_gradients_are_taken_as_given(tiny, monkeypatch):
    """In bfloat16 the difference is rounding for the most part."""
    learner, objective = learner_with_z(tiny), Objective(sft.loss)
    examples = [Example(conversation(tiny, 0))]
    monkeypatch.setattr(tiny, "dtype", torch.bfloat16)
    assert gradient_along(learner, WHOLE, examples, objective) == {}
    monkeypatch.undo()
    learner.mixed.tangent.z.clear()
    assert gradient_along(learner, WHOLE, examples, objective) == {}


def test_with_dropout_gradients_are_taken_as_given():
    """Defect: two gradients of two masks, whose difference over a tiny step is noise without bounds."""
    policy = Policy.load("tiny-random", device="cpu", lora={"r": 4, "lora_dropout": 0.1})
    learner, objective = learner_with_z(policy), Objective(sft.loss)
    assert gradient_along(learner, WHOLE, [Example(conversation(policy, 0))], objective) == {}


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])
