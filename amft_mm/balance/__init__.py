"""Who sets mu, the weight of imitation in `loss = (1 - mu) * exploration + mu * imitation`."""
