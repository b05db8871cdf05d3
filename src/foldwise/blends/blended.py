"""What a blending method returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Blended:
    """What a method predicts and what it learned."""

    probabilities: np.ndarray  # (n, k)
    weights: np.ndarray | None = None  # (m,), where the method weighs members
    about: dict[str, Any] = field(default_factory=dict)  # what else it learned, as plain JSON values
