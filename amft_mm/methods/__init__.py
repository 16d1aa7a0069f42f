"""The ways of mixing imitation and exploration: a family a folder, an algorithm a file.

imitation    losses of demonstrations
exploration  losses of rollouts
guidance     what an expert does for a step's rollouts
balance      who sets mu
utility      what a balance that learns climbs
rival        a second model that explores alone (bridge)

`python -m amft_mm.methods` lists the presets that are made of them.
"""
