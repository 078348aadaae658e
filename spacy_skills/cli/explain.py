"""``python -m spacy skills explain``: why a sentence is given which skills."""

import os

from typer import Argument, Option
from wasabi import msg

from ..errors import Errors
from ..factory import DEFAULT_PRETRAINED
from . import skills_cli
from .benchmark import find_component
from .pipelines import open_pipeline

HEADER = ("#", "Skill", "p", "logit", "without", "Evidence", "Words")


@skills_cli.command("explain")
def explain_cli(
    text: str = Argument(..., help="A sentence, or several"),
    pipeline: str = Option(
        DEFAULT_PRETRAINED,
        "--pipeline",
        "-p",
        help="Pipeline with the component esco_skills, or a packed ranker",
    ),
    top_k: int = Option(10, min=1, help="How many skills"),
    skill: list[str] = Option(
        [], "--skill", "-s", help="A skill's name or URI, wherever it stands"
    ),
) -> None:
    """Print the first candidates of each sentence and what speaks for them.

    p: probability that the skill is right. logit: what the ranking is by; without: the same
    once the words are taken out. Evidence: the words name the skill (name), lie closest to
    it (words), or nothing less than the sentence does (sentence).
    """
    # Brings the transformers library, which costs seconds to import.
    from ..explanation import explain

    # Arguments may hold any bytes, and any that are not ASCII if the locale is C.
    text = os.fsencode(text).decode("utf8", "replace")
    try:
        nlp = open_pipeline(pipeline)
        _, ranker = find_component(nlp, pipeline)
        taxonomy = ranker.taxonomy
        uris = []
        for name in skill:
            uri = name if name in taxonomy else taxonomy.find(name)
            if uri is None:
                raise ValueError(Errors.S506.format(name=name))
            uris.append(uri)
        found = list(explain(nlp, ranker, text, top_k=top_k, skills=uris))
        threshold = ranker.threshold
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    for explanation in found:
        msg.divider(" ".join(explanation.sentence.split())[:88], char="─")
        if explanation.asking is not None:
            msg.text(f"Asks for a skill: {explanation.asking:.2f}")
        rows = [
            (
                reason.rank,
                taxonomy.skills[reason.row].name,
                f"{reason.probability:.2f}" + "*" * (reason.probability >= threshold),
                f"{reason.logit:.1f}",
                "" if reason.without is None else f"{reason.without:.1f}",
                reason.evidence,
                " ".join(reason.words.split()),
            )
            for reason in explanation.reasons
        ]
        aligns = ["r", "l", "l", "r", "r", "l", "l"]
        msg.table(rows, header=HEADER, divider=True, aligns=aligns, max_col=44)
    msg.text(f"* given, with at least {threshold:.2f} and among the first few")
