"""Pictures as the worlds show them."""

import numpy as np

Image = np.ndarray
"""uint8, height x width x 3, RGB."""
