"""The mathematics of a step: tokens, gradients, credit, and the optimizer's step on a mix."""
