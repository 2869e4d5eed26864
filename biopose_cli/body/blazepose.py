"""BlazePose's 33 body landmarks."""

from __future__ import annotations

import numpy as np

LANDMARKS = 33
MIRROR_LANDMARK = np.array(
    [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(k + 1 if k % 2 else k - 1 for k in range(11, LANDMARKS))]
)
