"""``python -m spacy skills show``: a pipeline's reading of one ad."""

from pathlib import Path

import spacy
from spacy import displacy
from spacy.tokens import Doc, Span
from typer import Argument, Option
from wasabi import msg

from ..ads import read_ads
from ..files import write_file
from ..phrases import sentences
from . import skills_cli

# displaCy is made for short labels, and breaks names of several words over the next ones.
PAGE_STYLE = """<style>
    .spans span span span { white-space: nowrap; }
    figure { margin: 0 !important; }
    body { padding: 2rem !important; }
</style>
"""


@skills_cli.command("show")
def show_cli(
    pipeline: str = Argument(..., help="Name or path of a trained pipeline"),
    ads: Path = Argument(..., help="An ad (.txt) or a file or folder of ads"),
    html: Path | None = Option(None, "--html", help="Write a displaCy page here"),
    text_field: str = Option("text", help="Field or column that holds the text"),
):
    """Print the skills of each sentence, with probability and evidence."""
    try:
        nlp = spacy.load(pipeline)
        docs = list(nlp.pipe(ad.text for ad in read_ads(ads, text_field=text_field)))
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    for doc in docs:
        print_skills(doc)
    if html is not None:
        write_file(html, render_skills(docs).encode())
        msg.good(f"Saved to {html}")


def print_skills(doc: Doc, spans_key: str = "esco_skills") -> None:
    """Each sentence that asks for skills, and below it the skills, best first."""
    group = doc.spans[spans_key]
    for sentence in sentences(doc):
        found = [
            (span.label_, f"{score:.2f}", span.text)
            for span, score in zip(group, group.attrs["scores"])
            if sentence.start <= span.start < sentence.end
        ]
        if found:
            msg.divider(" ".join(sentence.text.split())[:88], char="─")
            msg.table(
                found, header=("Skill", "p", "Evidence"), divider=True, max_col=48
            )


def render_skills(
    docs: list[Doc], spans_key: str = "esco_skills", per_sentence: int = 3
) -> str:
    """displaCy's span view of the sentences that ask for skills, the best ones of each."""
    shown = []
    for doc in docs:
        for sentence in sentences(doc):
            copy = sentence.as_doc()
            copy.spans[spans_key] = [
                # The URI would hide the name in displaCy's small labels.
                Span(copy, s.start - sentence.start, s.end - sentence.start, s.label_)
                for s in doc.spans[spans_key]
                if sentence.start <= s.start < sentence.end
            ][:per_sentence]
            if copy.spans[spans_key]:
                shown.append(copy)
    options = {
        "spans_key": spans_key,
        "colors": dict.fromkeys(_labels(docs), "#9fc5e8"),
        "top_offset_step": 20,
    }
    page = displacy.render(
        shown, style="span", page=True, options=options, jupyter=False
    )
    return page.replace("</head>", f"{PAGE_STYLE}</head>", 1)


def _labels(docs: list[Doc]) -> set[str]:
    return {
        span.label_ for doc in docs for group in doc.spans.values() for span in group
    }
