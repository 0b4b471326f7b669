"""The learning rate as a pure function of the optimizer step."""

from __future__ import annotations

import math

from attnzoo.config.sections import TrainOptions


def learning_rate(options: TrainOptions, step: int, total_steps: int, plateau_factor: float = 1.0) -> float:
    """Returns the learning rate of one optimizer step.

    With peak `p`, warmup `w` and total `T` steps, after a linear warmup over the first `w` steps:
        constant: p
        cosine: p (1 + cos(pi (step - w) / (T - w))) / 2
        inverse_square_root: p sqrt(max(w, 1) / step)
        step: p factor^floor((step - w) / every)
        plateau: p times `plateau_factor`, which the caller updates
    Over the last `c` steps (cooldown_steps) each is multiplied by (T + 1 - step) / (c + 1), a linear decay
    to 0.

    Args:
        options: the train section.
        step: the step to be taken next, starting at 1.
        total_steps: total number of steps.
        plateau_factor: product of the reductions so far (schedule: plateau).

    Examples:
        >>> options = TrainOptions(learning_rate=0.1, warmup_steps=2, schedule="cosine")
        >>> [round(learning_rate(options, step, total_steps=6), 3) for step in range(1, 7)]
        [0.05, 0.1, 0.1, 0.085, 0.05, 0.015]

    Reference:
        inverse_square_root: Vaswani et al. 2017, equation 3, https://arxiv.org/abs/1706.03762
        cosine: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983
        cooldown: Haegele et al. 2024, section 3, https://arxiv.org/abs/2405.18392
    """
    cooldown = min(1.0, max(0, total_steps + 1 - step) / (options.cooldown_steps + 1))
    return cooldown * _before_cooldown(options, step, total_steps, plateau_factor)


def _before_cooldown(options: TrainOptions, step: int, total_steps: int, plateau_factor: float) -> float:
    peak, warmup = options.learning_rate, options.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if options.schedule == "cosine":
        done = min(1.0, (step - 1 - warmup) / max(1, total_steps - warmup))
        return peak * (1.0 + math.cos(math.pi * done)) / 2.0
    if options.schedule == "inverse_square_root":
        return peak * math.sqrt(max(warmup, 1) / step)
    if options.schedule == "step":
        return peak * options.schedule_factor ** ((step - 1 - warmup) // options.schedule_every)
    if options.schedule == "plateau":
        return peak * plateau_factor
    return peak
