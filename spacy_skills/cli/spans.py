"""``python -m spacy skills spans``: trains the spanner."""

from pathlib import Path

from typer import Argument, Option
from wasabi import msg

from ..benchmark import read_benchmarks
from ..errors import Errors
from ..esco import load_taxonomy
from . import skills_cli


@skills_cli.command("spans")
def spans_cli(
    marked: Path = Argument(..., help="Marked sentences: SkillSpan's JSONL"),
    output: Path = Argument(..., dir_okay=False, help="File for the spanner"),
    base: str | None = Option(
        None, help="Folder or hub name to start from [all-MiniLM-L6-v2]"
    ),
    layers: int = Option(3, min=1, help="How many of its lower layers are taken"),
    exclude: Path | None = Option(
        None, help="Benchmark whose sentences are not to be trained on"
    ),
    taxonomy: Path | None = Option(None, help="Taxonomy of the benchmark's labels"),
    epochs: int = Option(5, min=1, help="How often each sentence is met"),
    batch_size: int = Option(32, min=1, help="Sentences in a step"),
    learn_rate: float = Option(1.5e-4, min=0.0, help="The highest learning rate"),
    seed: int = Option(0, help="Order of the sentences, dropout"),
) -> None:
    """Learn which words of a sentence ask for a skill, whatever skill it is."""
    # Brings the transformers library, which costs seconds to import.
    from ..encoder import bundled_minilm
    from ..span_training import Settings, read_marked, train_spanner
    from ..spanner import SkillSpanner

    settings = Settings(epochs, batch_size, learn_rate, seed=seed)
    try:
        known: list[str] = []
        if exclude is not None:
            if taxonomy is None:
                raise ValueError(Errors.S804)
            sets = read_benchmarks(exclude, load_taxonomy(taxonomy))
            known = [text for benchmark in sets for text, _ in benchmark.sentences]
        sentences = read_marked(marked, known)
        msg.info(f"{len(sentences):,} marked sentences")
        spanner = SkillSpanner.from_base(base or bundled_minilm(), layers)
        train_spanner(spanner, sentences, settings)
        spanner.to_disk(output)
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    msg.good(f"Saved the spanner to {output}")
