"""The options of a run, section by section. Defaults live here and nowhere else.

Data sets, models and attention layers add their own options in their own files, by subclassing
`DataOptions` (or one of its kinds) and `Section`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from attnzoo.config.augmentation import Change
from attnzoo.config.base import PositiveFloat, PositiveInt, Rate, Section
from attnzoo.info import MAX_CLEANINGS, MAX_VOCABULARY, Cleaning, Tokenization


class DataOptions(Section):
    """Options that every data set has."""

    name: str = Field(description="Data set, by the name that `attnzoo list datasets` shows.")
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.1, description="Share of train held out where the data has no validation split, 0 to 1."
    )


class FileOptions(DataOptions):
    """Options of data that is read from files of the user."""

    on_bad_record: Literal["error", "skip"] = Field(
        "error", description="A record that cannot be read ends the command, or is passed over and counted."
    )
    max_bad_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.01, description="skip: largest share of a file's records that may be passed over, 0 to 1."
    )


class TextOptions(DataOptions):
    """Options of data with text in it."""

    tokenizer: Tokenization = Field(
        "words",
        description="What a token is. Pieces of words are learned from the training texts by SentencePiece: "
        "subwords by its unigram model, bpe by byte-pair merges. bytes are those of UTF-8, always 256.",
    )
    clean: Annotated[list[Cleaning], Field(max_length=MAX_CLEANINGS)] = Field(
        [],
        description="What is done to texts first, in this order: html puts a space for each tag and a "
        "character for each common entity; whitespace puts one space for each run of white space; unicode "
        "is the normal form NFKC.",
    )
    lowercase: bool = Field(True, description="Lowercase texts before they are split into tokens.")
    vocabulary_size: Annotated[int, Field(ge=8, le=MAX_VOCABULARY)] = Field(
        10_000, description="Most token ids of a vocabulary, the 4 special ones included."
    )
    subword_sampling: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0,
        description="Above 0 the words of training texts are split into other pieces in every epoch (subword "
        "regularisation). bpe: how likely a merge is left out, 0.05 to 0.1 are common; subwords: exponent of "
        "the pieces' probabilities, 0.1 to 0.5.",
    )
    max_length: Annotated[int, Field(ge=2, le=65_536)] = Field(
        256, description="Longest text, in tokens; the rest of a longer one is cut and its share reported."
    )
    num_buckets: Annotated[int, Field(ge=1, le=16)] = Field(
        3, description="Number of fixed lengths that batches are padded to: each costs one compilation."
    )


class TranslationOptions(TextOptions):
    """Options of data with pairs of texts."""

    shared_vocabulary: bool = Field(False, description="One vocabulary for source and target together.")


class ImageOptions(DataOptions):
    """Options of data with images in it."""

    image_size: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[height, width] in pixels that images are resized to. Default: the size of the first.",
    )
    channels: Literal[1, 3] | None = Field(None, description="1 grey, 3 colour. Default: as the first image.")
    augment: list[Change] = Field(
        [], description="Random changes in training, in this order: names, or {name: NAME} with options."
    )


class TrainOptions(Section):
    """How the model is trained."""

    epochs: PositiveInt = Field(10, description="Passes over the training data.")
    steps: PositiveInt | None = Field(None, description="Optimizer steps; if given, epochs is not used.")
    batch_size: PositiveInt = Field(64, description="Examples a batch, over all replicas.")
    batch_tokens: PositiveInt | None = Field(
        None,
        description="Most padded tokens a batch, of the longest text; if given, batch_size is not used.",
    )
    accumulate: PositiveInt = Field(
        1, description="Batches whose gradients are summed for one optimizer step."
    )
    replicas: PositiveInt = Field(
        1, description="Devices that share each batch (GPUs, or CPUs where there are none)."
    )
    xla: Literal["auto"] | bool = Field(
        "auto",
        description="Compile the training step with XLA as a whole. auto: yes, but for several replicas, and "
        "on a CPU for images, and for bfloat16 where the processor multiplies it (AMX, AVX-512 BF16).",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Type of the computation; weights are float32 always."
    )
    optimizer: Literal["adamw", "sgd", "lamb", "lion", "adafactor"] = Field(
        "adamw", description="Update rule."
    )
    learning_rate: Annotated[float, Field(gt=0.0)] = Field(1e-3, description="Peak learning rate.")
    layer_rates: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        {},
        description="Factors of the learning rate by layer, {embedding: 0, 'block_*': 0.1}; 0 = frozen. Of "
        "several patterns that fit the first counts; other layers have 1.",
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Decoupled decay a step, times the learning rate; not for biases and normalisation.",
    )
    beta_1: Rate = Field(0.9, description="Decay of the first moment; momentum of sgd.")
    beta_2: Rate = Field(0.999, description="Decay of the second moment (adamw, lamb, lion).")
    schedule: Literal["constant", "cosine", "inverse_square_root", "step", "plateau"] = Field(
        "constant", description="How the learning rate falls after warm-up."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="Steps of linear rise from 0 to the peak."
    )
    cooldown_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="Last steps, over which the rate of any schedule also falls linearly to 0."
    )
    schedule_every: PositiveInt = Field(1000, description="step: steps between two falls.")
    schedule_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.5, description="step, plateau: factor of one fall. cosine falls to 0."
    )
    schedule_patience: PositiveInt = Field(
        2, description="plateau: evaluations without a better one before a fall."
    )
    clip_norm: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="Gradients with a larger global norm are scaled down to it."
    )
    label_smoothing: Rate = Field(0.0, description="Probability spread over all classes, 0 to 1.")
    r_drop: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Above 0 every batch is worked on twice, with different dropout, and this is the weight "
        "of a loss that draws the two predictions together (R-Drop); 1 to 5 are common.",
    )
    class_weights: Literal["none", "balanced"] | dict[str, PositiveFloat] = Field(
        "none",
        description="What examples weigh in the training loss of a classifier: balanced = examples "
        "/ (classes * examples of their label), or {label: weight}, 1 for labels that are not named.",
    )
    guided_alignment: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Weight of a loss that draws the attention of a translation to data.train_alignments; "
        "0 = off.",
    )
    init_from: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Finished run whose vocabulary, and weights where they fit, the training starts with.",
    )
    ema: Rate = Field(
        0.0, description="Decay of the moving average of weights, 0 = off; evaluated instead of the weights."
    )
    early_stopping: PositiveInt | None = Field(
        None, description="Evaluations without a better one before training stops."
    )
    recoveries: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="Times that a run that diverged goes back to its last checkpoint, at half the rate."
    )
    checkpoint_seconds: Annotated[float, Field(ge=0.0)] = Field(
        60.0, description="Most seconds of work that a crash can lose, evaluations apart."
    )
    log_every: PositiveInt = Field(
        20, description="Steps between two lines of metrics.jsonl and TensorBoard."
    )


class EvalOptions(Section):
    """How the model is evaluated and which weights are kept."""

    every: PositiveInt | None = Field(
        None, description="Optimizer steps between two evaluations. Default: every epoch."
    )
    weights: Literal["best", "last", "average", "average_best"] = Field(
        "best",
        description="Weights of the finished run: best on validation, last, or the mean of the last or of "
        "the best ones.",
    )
    average: PositiveInt = Field(
        5, description="Number of evaluations whose weights are averaged (average, average_best)."
    )
    batch_size: PositiveInt | None = Field(None, description="Examples a batch. Default: as in training.")
    decode: Literal["final", "every"] = Field(
        "final",
        description="When whole predictions are made and scored (translations; F1, kappa and calibration of "
        "labels): at the end, or at every evaluation.",
    )
    samples: Annotated[int, Field(ge=0, le=64)] = Field(
        8, description="Sample predictions shown in TensorBoard."
    )
    beams: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Translations written side by side in a beam search; 1 = greedy."
    )
    length_ratio: Annotated[float, Field(gt=0.0, le=100.0)] = Field(
        2.0, description="Longest translation, in tokens of its source; 10 more are always allowed."
    )
    length_penalty: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.6, description="Exponent of the length by which a translation's log probability is divided."
    )
    length_penalty_kind: Literal["wu", "power"] = Field(
        "wu", description="What is raised to it: wu (5 + length) / 6, power the length (as Marian does)."
    )
    coverage_penalty: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.0, description="Weight of what a translation left unattended in its source, 0 = off."
    )
    calibrate: bool = Field(
        False,
        description="predict and export give calibrated probabilities: of logits divided by the temperature "
        "that was fitted on validation.",
    )
    bleu_tokenizer: Literal["13a", "intl", "char", "none"] = Field(
        "13a", description="Tokenization of BLEU by sacrebleu; none for texts that are tokenized already."
    )
    bleu_lowercase: bool = Field(False, description="Whether BLEU ignores upper and lower case.")
