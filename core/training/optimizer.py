"""AdamW for Gluon: MXNet 1.9.1 has its update rule as an operator, but no optimizer that uses it."""

from __future__ import annotations

import math
from typing import Any

from gluon_mtcnn.core.backend.runtime import mx

AGGREGATE = 45  # MXNet's multi-tensor updates take at most 60 parameters


@mx.optimizer.register
class AdamW(mx.optimizer.Optimizer):
    """Adam with decoupled weight decay: ``w -= lr * (m' / (sqrt(v') + epsilon) + wd * w)`` (Loshchilov, Hutter 2019).

    m' and v' are the bias-corrected means of the gradient and its square.
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.aggregate_num = AGGREGATE

    def create_state(self, index: int, weight: Any) -> tuple[Any, Any]:
        """Return zeros for the two means."""
        return mx.nd.zeros_like(weight), mx.nd.zeros_like(weight)

    def update(self, index: list[int], weight: list[Any], grad: list[Any], state: list[tuple[Any, Any]]) -> None:
        """Update parameters in place, all in one operator; they have had the same number of updates."""
        self._update_count(index)
        step = self._index_update_count[index[0]]
        first, second = 1 - self.beta1**step, math.sqrt(1 - self.beta2**step)
        mx.nd.contrib.multi_adamw_update(
            weight,
            grad,
            *zip(*state),
            rescale_grad=self.rescale_grad,
            lrs=[second / first] * len(index),
            wds=self._get_wds(index),
            etas=self._get_lrs(index),
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon * second,  # the operator adds it to the uncorrected root
            out=weight,
        )

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Update parameters; all are float32."""
        self.update(list(index), list(weight), list(grad), list(state))
