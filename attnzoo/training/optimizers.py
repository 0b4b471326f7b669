"""Keras optimizers from the options of a config."""

from __future__ import annotations

import keras

from attnzoo.config.sections import TrainOptions

NOT_DECAYED = ("bias", "gamma", "beta")


def build(options: TrainOptions) -> keras.optimizers.Optimizer:
    """Returns the optimizer; the training loop sets its learning rate before each step.

    Gradient clipping and weight averaging are done by the training loop, in the same way for all optimizers.
    Weight decay is decoupled (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101) and excludes
    biases and normalization.

    Examples:
        >>> optimizer = build(TrainOptions(optimizer="lion", learning_rate=1e-4))
        >>> type(optimizer).__name__, round(float(optimizer.learning_rate), 6)
        ('Lion', 0.0001)
    """
    common = {"learning_rate": options.learning_rate, "weight_decay": options.weight_decay or None}
    if options.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=options.beta_1, nesterov=options.beta_1 > 0, **common)
    elif options.optimizer == "adafactor":
        optimizer = keras.optimizers.Adafactor(relative_step=False, **common)
    else:
        adam = keras.optimizers.AdamW if options.weight_decay else keras.optimizers.Adam
        kinds = {"adamw": adam, "lamb": keras.optimizers.Lamb, "lion": keras.optimizers.Lion}
        optimizer = kinds[options.optimizer](beta_1=options.beta_1, beta_2=options.beta_2, **common)
    optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer
