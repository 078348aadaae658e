"""``python -m spacy skills corpus``: job ads to a distantly labelled corpus."""

from enum import Enum
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import spacy
from spacy.language import Language
from typer import Argument, Option
from wasabi import msg

from ..corpus import build_corpus
from ..esco import load_taxonomy
from ..matcher import SkillMatcher, read_dropped_names
from . import skills_cli


class Inflection(str, Enum):
    lemma = "lemma"
    stem = "stem"
    none = "none"


@skills_cli.command("corpus")
def corpus_cli(
    ads: Path = Argument(
        ..., help="File or folder of job ads: .txt, .jsonl, .csv or .tsv, plain or .gz"
    ),
    taxonomy: Path = Argument(
        ..., help="Folder of ESCO's CSV files, or a file made of it"
    ),
    output_dir: Path = Argument(..., help="Folder for the shards and the report"),
    text_field: str = Option(
        "text", help="Field or column with the ad, or column number without a header"
    ),
    drop_names: Path | None = Option(
        None, help="File of ambiguous names that are not matched"
    ),
    n_process: int = Option(2, min=1, help="Number of processes"),
    shard_size: int = Option(20_000, min=1, help="Training sentences in a shard"),
    dev_share: float = Option(
        0.02, min=0.0, max=1.0, help="Share of the sentences for development"
    ),
    unlabelled_share: float = Option(
        0.0, min=0.0, max=1.0, help="Share of the sentences without a skill to keep"
    ),
    inflection: Inflection = Option(
        Inflection.lemma, help="How to match names in other forms"
    ),
    language: str = Option("en", help="Language of taxonomy and ads"),
    overwrite: bool = Option(
        False, help="Replace a corpus that was made with other settings"
    ),
) -> None:
    """Find the ESCO skills that job ads name, and save the sentences for training.

    Run it again after an interruption: it goes on after the last shard it saved.
    """
    start = perf_counter()
    try:
        dropped = read_dropped_names(drop_names)
        nlp = _make_pipeline(taxonomy, dropped, inflection.value, language)
        report = build_corpus(
            ads,
            output_dir,
            nlp,
            text_field=text_field,
            shard_size=shard_size,
            dev_share=dev_share,
            unlabelled_share=unlabelled_share,
            n_process=n_process,
            overwrite=overwrite,
            show_progress=True,
        )
    except (ImportError, OSError, RuntimeError, ValueError) as err:
        msg.fail(str(err), exits=1)
    except KeyboardInterrupt:
        msg.fail("Interrupted; the same command goes on after the last shard", exits=1)
    _print_report(report)
    msg.good(f"Saved corpus to {output_dir} in {perf_counter() - start:.0f} seconds")


def _make_pipeline(
    taxonomy: Path, drop_names: dict[str, list[str]], inflection: str, language: str
) -> Language:
    nlp = spacy.blank(language)
    config = {"inflection": inflection}
    matcher = cast(SkillMatcher, nlp.add_pipe("esco_matcher", config=config))
    skills = load_taxonomy(taxonomy, language)
    matcher.initialize(nlp=nlp, taxonomy=skills, drop_names=drop_names)
    return nlp


def _print_report(report: dict[str, Any]) -> None:
    distinct = report["sentences_read"] - report["near_duplicates"]
    msg.table(
        [
            ("Sentences read", f"{report['sentences_read']:,}"),
            ("Near-duplicates", f"{report['near_duplicates']:,}"),
            (
                "Sentences with a skill",
                f"{report['matched']:,} ({report['matched'] / distinct:.1%})",
            ),
            ("  for training", f"{report['train']:,}"),
            ("  for development", f"{report['dev']:,}"),
            ("Sentences without, kept", f"{report['unlabelled']:,}"),
            ("Skills per such sentence", f"{report['pairs'] / report['matched']:.2f}"),
            ("Skills in the taxonomy", f"{report['skills']:,}"),
            *(
                (f"  in {n} training sentences or more", f"{count:,}")
                for n, count in report["skills_with_at_least"].items()
            ),
            ("Dropped names", f"{len(report['dropped_names']):,}"),
        ],
        aligns=("l", "r"),
    )
    frequent = report["most_frequent"]
    rows = [(row["name"], f"{row['sentences']:,}") for row in frequent[:15]]
    msg.table(
        rows, header=("Most frequent", "Sentences"), divider=True, aligns=("l", "r")
    )
