"""``python -m spacy skills names``: the names that match where no skill is meant."""

from dataclasses import asdict
from pathlib import Path
from typing import cast

import spacy
import srsly
from tqdm import tqdm
from typer import Argument, Option
from wasabi import msg

from ..ambiguity import NameUse, ambiguous_names, collect_contexts
from ..esco import load_taxonomy
from ..files import write_file
from ..matcher import SkillMatcher
from ..sentences import sample_sentences
from . import skills_cli


@skills_cli.command("names")
def names_cli(
    taxonomy: Path = Argument(..., help="Folder of ESCO's CSVs, or the compact file"),
    ads: Path = Argument(..., help="File or folder of ads, as for `skills corpus`"),
    output: Path = Argument(..., help="JSONL of the dropped names, with the reasons"),
    text_field: str = Option("text", help="Field or column that holds the text"),
    encoder: str = Option("", help="Hub name or folder; all-MiniLM-L6-v2 by default"),
    sample: int = Option(100_000, min=1, help="Sentences to test the names on"),
    language: str = Option("en", help="Language of taxonomy and ads"),
):
    """Test every one-word name on sentences it matches in, and list those to drop."""
    from ..encoder import TextEncoder

    try:
        nlp = spacy.blank(language)
        # Names of one word, which are those tested, are not matched in other forms.
        config = {"inflection": "none"}
        matcher = cast(SkillMatcher, nlp.add_pipe("esco_matcher", config=config))
        matcher.initialize(nlp=nlp, taxonomy=load_taxonomy(taxonomy, language))
        sentences = sample_sentences(ads, sample, text_field=text_field)
        docs = (nlp.make_doc(text) for text in tqdm(sentences, "Sentences"))
        contexts = collect_contexts(docs, matcher)
        drop, keep = ambiguous_names(contexts, matcher, TextEncoder(encoder or None))
        lines = [f"{srsly.json_dumps(asdict(use))}\n" for use in drop]
        write_file(output, "".join(lines).encode())
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    _print_uses(drop, keep)
    msg.good(f"Saved {len(drop)} dropped names to {output}")


def _print_uses(drop: list[NameUse], keep: list[NameUse]) -> None:
    matches = sum(use.count for use in drop + keep)
    dropped = sum(use.count for use in drop)
    msg.info(f"Names tested: {len(drop) + len(keep)}, of {matches} matches")
    if drop:
        msg.table(
            [(use.name, use.skill, use.count, f"{use.far:.2f}") for use in drop[:15]],
            header=("Dropped", "as name of", "Matches", "Far"),
            divider=True,
            max_col=40,
        )
        msg.info(f"Dropped names made {dropped / matches:.0%} of the tested matches")
