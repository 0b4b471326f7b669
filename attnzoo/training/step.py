"""One optimizer step: one compiled program for the gradients of each replica, another for the update.

With loss sums L_b and target counts n_b of the batches b (of all replicas), the gradient is that of
sum_b L_b / sum_b n_b, which is exact for uneven batches, replicas and gradient accumulation. All replicas
have the same variables: one reduction sums their gradients, and each applies the sum to its own copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from attnzoo.config.sections import TrainOptions
from attnzoo.data.pipeline import Batch
from attnzoo.features.info import DataInfo
from attnzoo.layers.batch_normalization import require_shared_statistics
from attnzoo.layers.replicas import sum_over_replicas
from attnzoo.tasks.evaluating import distribute, received
from attnzoo.tasks.task import Task

NO_MULTIPLIERS: Mapping[str, float] = {}
INITIAL_LOSS_SCALE = 2.0**15
FINITE_STEPS_BEFORE_GROWTH = 2000


class TrainStep:
    """Takes optimizer steps.

    Args:
        model: a built model.
        optimizer: its slots are created here.
        task: defines the loss.
        info: what is known about the data, which makes model inputs of batches.
        options: the train section.
        strategy: holds the model's variables.
        xla: whether XLA compiles the gradients of each replica as one program, which several replicas of a
            model with batch statistics cannot have; on one device it always compiles the update.
        average: a model with the same variables, for their moving average; None for no average.
        multipliers: path of a variable -> learning rate multiplier; 1 for others.

    Attributes:
        scale_state: loss scale and finite steps since its last change; empty except for mixed_float16.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        task: Task,
        info: DataInfo,
        options: TrainOptions,
        strategy: tf.distribute.Strategy,
        *,
        xla: bool,
        average: keras.Model | None = None,
        multipliers: Mapping[str, float] = NO_MULTIPLIERS,
    ) -> None:
        self.model, self.optimizer, self.task = model, optimizer, task
        self.info, self.options, self.strategy, self.average = info, options, strategy, average
        self.multipliers = [
            (variable, multipliers[variable.path])
            for variable in model.trainable_variables
            if variable.path in multipliers
        ]
        with strategy.scope():
            optimizer.build(model.trainable_variables)
            self.scale_state: list[keras.Variable] = []
            if options.precision == "mixed_float16":
                self.scale_state = [
                    keras.Variable(INITIAL_LOSS_SCALE, trainable=False, dtype="float32", name="loss_scale"),
                    keras.Variable(0.0, trainable=False, dtype="float32", name="finite_steps"),
                ]
        self._gradients: Any = self._replica_gradients
        one_device = strategy.num_replicas_in_sync == 1
        # Replicas cannot exchange the statistics of a batch from within a function that is traced on its own.
        if one_device or xla:
            self._gradients = tf.function(self._replica_gradients, jit_compile=xla, autograph=False)
        # Traced once, for all batches and steps of a call.
        self._batch_gradients = tf.function(self._gradients_of_batch, autograph=False)
        self._compiled_update = tf.function(self._update, jit_compile=one_device, autograph=False)
        if not one_device:
            require_shared_statistics(model)
            optimizer._all_reduce_sum_gradients = list  # they are sums already
        self._compiled_steps = tf.function(self._steps, autograph=False)

    def step(self, batches: list[Batch], learning_rate: float) -> dict[str, tf.Tensor]:
        """Takes one optimizer step over `batches`, unless a gradient is not finite.

        Returns:
            Sums of the task's metrics <float32>[2], `gradient_norm` <float32>[] before clipping, and
            `finite` <bool>[].
        """
        return self.steps([batches], [learning_rate])[0]

    def steps(self, groups: list[list[Batch]], learning_rates: list[float]) -> list[dict[str, tf.Tensor]]:
        """Takes several optimizer steps in one call, with the same results as one after another.

        Args:
            groups: the batches of each step.
            learning_rates: learning rate of each step.

        Returns:
            What `step` returns, for each step.
        """
        placed = [[self.place(batch) for batch in batches] for batches in groups]
        return self._compiled_steps(placed, tf.constant(learning_rates, tf.float32))

    def place(self, batch: Batch) -> Batch:
        """Returns a batch on the devices that it is split over; one that is there is returned as it is."""
        return distribute(self.strategy, batch)

    def graph(self, inputs: dict[str, tf.TensorSpec], targets: dict[str, tf.TensorSpec]) -> tf.Graph:
        """Returns the graph of the gradients of one batch, as steps on such batches use it."""
        return self._gradients.get_concrete_function(inputs, targets).graph

    def persistent_values(self) -> list[tf.Tensor]:
        """Returns the values that are kept between steps: weights, their average, optimizer slots."""
        variables = [*self.model.variables, *self.optimizer.variables]
        variables += self.average.variables if self.average is not None else []
        return [variable.value for variable in variables]

    def _loss_scale(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.scale_state[0]) if self.scale_state else tf.constant(1.0)

    def _replica_gradients(self, inputs, targets):
        inputs = self.info.model_inputs(inputs)
        with tf.GradientTape() as tape:
            sums = self.task.sums(self.model, inputs, targets, self.options)
            loss = sums["loss"][0] * self._loss_scale()
        variables = [variable.value for variable in self.model.trainable_variables]
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in gradients], sums

    def _steps(self, groups, learning_rates):
        return [
            self._step(batches, rate)
            for batches, rate in zip(groups, tf.unstack(learning_rates), strict=True)
        ]

    def _step(self, batches, learning_rate):
        gradients, sums = self._sum_batches(batches)
        sums = {name: 0.0 + self._first(value) for name, value in sums.items()}
        norm, finite = self._compiled_update(gradients, sums["loss"][1], learning_rate)
        return {**sums, "gradient_norm": norm, "finite": finite}

    def _sum_batches(self, batches):
        """Returns the gradients and the sums of all batches and replicas, on each replica."""
        totals = None
        for inputs, targets in batches:
            new = self._batch_gradients(inputs, targets)
            totals = new if totals is None else self.strategy.run(_add, args=(totals, new))
        return self.strategy.run(sum_over_replicas, args=(totals,))

    def _gradients_of_batch(self, inputs, targets):
        return self.strategy.run(lambda *batch: self._gradients(*received(batch)), args=(inputs, targets))

    def _first(self, value):
        """Returns the value of the first replica."""
        return self.strategy.experimental_local_results(value)[0]

    def _update(self, gradients, count, learning_rate):
        gradients, norm, finite = self.strategy.run(self._scale_gradients, args=(gradients, count))
        norm, finite = self._first(norm), self._first(finite)
        self.optimizer.learning_rate = learning_rate
        tf.cond(finite, lambda: self._apply(gradients), lambda: tf.constant(0))
        if self.scale_state:
            self._adapt_loss_scale(finite)
        return norm, finite

    def _scale_gradients(self, gradients, count):
        divisor = tf.where(count > 0.0, count, 1.0) * self._loss_scale()
        gradients = [gradient / divisor for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm)
        if self.options.clip_norm is not None:
            factor = self.options.clip_norm / tf.maximum(norm, self.options.clip_norm)
            gradients = [gradient * factor for gradient in gradients]
        return gradients, norm, finite

    def _apply(self, gradients):
        before = [tf.identity(variable.value) for variable, _ in self.multipliers]
        self.strategy.run(self.optimizer.apply, args=(gradients,))
        # All update rules, including weight decay, are linear in the learning rate.
        for (variable, multiplier), old in zip(self.multipliers, before, strict=True):
            variable.assign(old + multiplier * (variable.value - old))
        if self.average is not None:
            steps = tf.cast(self.optimizer.iterations, tf.float32)
            decay = tf.minimum(self.options.ema_decay, (1.0 + steps) / (10.0 + steps))
            for average, variable in zip(self.average.weights, self.model.weights, strict=True):
                if average.dtype == "float32":
                    average.assign(decay * average.value + (1.0 - decay) * variable.value)
                else:
                    average.assign(variable.value)
        return tf.constant(0)

    def _adapt_loss_scale(self, finite):
        scale, finite_steps = self.scale_state
        grow = tf.logical_and(finite, finite_steps.value + 1.0 >= FINITE_STEPS_BEFORE_GROWTH)
        scale.assign(tf.where(finite, tf.where(grow, scale.value * 2.0, scale.value), scale.value / 2.0))
        finite_steps.assign(tf.where(tf.logical_or(grow, ~finite), 0.0, finite_steps.value + 1.0))


def _add(one, other):
    return tf.nest.map_structure(tf.add, one, other)
