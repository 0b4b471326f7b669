"""Shows translations of a run's test set, with where each output token attended in the source.

python scripts/show_translations.py runs/translate_dates --count 4
"""

from __future__ import annotations

import argparse
from pathlib import Path

from attnzoo.startup import import_tensorflow

import_tensorflow()

from attnzoo.data import examples as data_examples  # noqa: E402
from attnzoo.data import tokenizers  # noqa: E402
from attnzoo.data.pipeline import BatchSizes  # noqa: E402
from attnzoo.info import END, PADDING  # noqa: E402
from attnzoo.run_dir import load_splits, load_trained  # noqa: E402
from attnzoo.tasks import translation  # noqa: E402
from attnzoo.training.console import next_commands, say  # noqa: E402


def main() -> None:
    """Prints one block a sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a translation run")
    parser.add_argument("--count", type=int, default=4, help="sentences to show")
    arguments = parser.parse_args()
    trained = load_trained(arguments.run)
    split = load_splits(trained.config).test.take(range(0, arguments.count))
    examples = data_examples.encode_split(split, trained.info)
    source = tokenizers.from_state(trained.info.tokenizers["source"])
    target = tokenizers.from_state(trained.info.tokenizers["target"])
    predict = translation.predictor([trained.model], trained.info, trained.config.eval)
    sizes = BatchSizes(arguments.count)
    for index, text, ids, attended in translation.translate(predict, examples, trained.info, sizes):
        print(f"\n{split.columns['source'][index]}  ->  {text}   (expected {split.columns['target'][index]})")
        show_alignment(source, target, examples.texts["source"], index, ids, attended)
    say(f"\nthe run is in {arguments.run}; {next_commands(arguments.run)}")


def show_alignment(source, target, texts, index: int, ids, attended) -> None:
    """Prints a line an output token: the token, then the source tokens it looked at most."""
    begin, end = texts.offsets[index], texts.offsets[index + 1]
    pieces = [piece(source, token) for token in texts.values[begin:end]]
    for token, row in zip(ids, attended, strict=True):
        if token in (PADDING, END):
            break
        top = row[: len(pieces)].argsort()[::-1][:3]
        looked = "  ".join(f"{pieces[place]!r} at {place + 1} {row[place]:.0%}" for place in top)
        print(f"    {piece(target, token)!r:6} <- {looked}")


def piece(tokenizer, token) -> str:
    """Returns the text of one token id."""
    if token == END:
        return "(end)"
    return tokenizer.decode([[int(token)]]).numpy()[0].decode("utf-8") or "(unknown)"


if __name__ == "__main__":
    main()
