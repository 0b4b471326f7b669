"""Options of translation. Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from attnzoo.config.base import EffectIf
from attnzoo.config.sections import EvalOptions
from attnzoo.tasks.options import CrossEntropyOptions
from attnzoo.tasks.types import Request
from attnzoo.text.kinds import MAX_LENGTH


class TranslationTrainOptions(CrossEntropyOptions):
    """How a translation model is trained."""

    guided_alignment: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Weight of a loss that aligns the cross-attention with data.train_alignments; 0 = off.",
    )


class TranslationEvalOptions(EvalOptions):
    """How translations are decoded and scored."""

    unknown: Literal["never", "copy"] = Field(
        "never",
        description="Out-of-vocabulary words (data.tokenizer: words): never: they are never generated; copy: "
        "they are replaced by the source word with the largest attention weight.",
    )
    beams: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Beam size of the beam search; 1 = greedy search."
    )
    length_ratio: Annotated[float, Field(gt=0.0, le=100.0)] = Field(
        2.0,
        description="Maximum length of a translation, as a multiple of the tokens of its source; 10 more "
        "are always allowed.",
    )
    min_length: Annotated[int, Field(ge=0, le=MAX_LENGTH)] = Field(
        0,
        description="Minimum number of tokens of a translation, if its maximum length allows it; 0 = off.",
    )
    no_repeat_ngram: Annotated[int, Field(ge=0, le=MAX_LENGTH)] = Field(
        0,
        description="Sequences of so many tokens occur at most once in a translation, which ends loops; 3 or "
        "4 are common for subwords, 0 = off.",
    )
    length_penalty: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.6, description="Exponent of the length by which a translation's log probability is divided."
    )
    length_penalty_kind: Annotated[
        Literal["wu", "power"], EffectIf("length_penalty is above 0", lambda own: own.length_penalty > 0.0)
    ] = Field(
        "wu",
        description="What is raised to length_penalty: wu is (5 + length) / 6, power the length itself "
        "(as in Marian).",
    )
    coverage_penalty: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.0,
        description="Coverage penalty: weight of what a translation left unattended in its source; 0 = off.",
    )
    bleu_tokenizer: Literal["13a", "intl", "char", "zh", "ja-mecab", "ko-mecab", "flores200", "none"] = Field(
        "13a",
        description="Tokenization of BLEU by sacrebleu: zh, ja-mecab, ko-mecab, flores200 or char where no "
        "spaces are between words; none for texts that are tokenized already.",
    )
    bleu_lowercase: bool = Field(False, description="Whether BLEU ignores upper and lower case.")


def count_problem(options: TranslationEvalOptions, request: Request) -> str | None:
    """Returns why a search does not return as many translations as are requested; None if it does."""
    count, beams = request.count, request.beams or options.beams
    if request.sample or count <= beams:
        return None
    return (
        f"--count {count}: a search with {beams} beam(s) returns at most {beams} translation(s); add --beams "
        f"{count}, or --sample"
    )
