"""`python -m amft_mm.compare`: methods against each other, with equal budgets, seeds and intervals."""
