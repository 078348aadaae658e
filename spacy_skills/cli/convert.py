"""``python -m spacy skills convert``: gold data for ``spacy evaluate``."""

from pathlib import Path

import spacy
from spacy.tokens import DocBin
from typer import Argument, Option
from wasabi import msg

from ..benchmark import BenchmarkCorpus
from ..files import keep_inputs, write_file
from ..readers import DistantCorpus
from . import skills_cli


@skills_cli.command("convert")
def convert_cli(
    source: Path = Argument(
        ..., help="Benchmark CSV or a folder of them, or shards of the distant corpus"
    ),
    output: Path = Argument(..., help="The .spacy file to write"),
    taxonomy: Path | None = Option(None, help="Taxonomy of a benchmark's skill names"),
    max_per_skill: int = Option(5, help="Sentences a skill, of shards"),
    limit: int = Option(1000, help="Sentences in all, of shards; 0 for all"),
    language: str = Option("en", help="Language of the sentences"),
):
    """Save labelled sentences as `spacy evaluate` reads them.

    Of the distant corpus's shards it takes sentences without the words that were matched.
    """
    try:
        keep_inputs(output, source)
        if taxonomy is None:
            corpus: DistantCorpus | BenchmarkCorpus = DistantCorpus(
                source, remove_mention=1.0, max_per_skill=max_per_skill, limit=limit
            )
        else:
            corpus = BenchmarkCorpus(source, taxonomy)
        docs = [example.reference for example in corpus(spacy.blank(language))]
        write_file(output, DocBin(docs=docs).to_bytes())
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    msg.good(f"Saved {len(docs)} sentences to {output}")
