"""Opens what a command is given as a pipeline."""

from typing import TYPE_CHECKING, cast

import spacy
from spacy.language import Language
from spacy.util import load_model

if TYPE_CHECKING:
    from ..ranker import SkillRanker


def open_pipeline(name: str) -> Language:
    """A pipeline by name or path, or one of a packed ranker alone: a file of ``skills pack``,
    or the name of one that comes with the package. Raises OSError or ValueError."""
    # Brings torch, which takes a second to import.
    from ..compact import SUFFIX, is_shipped, read_compact
    from ..finder import NameFinder

    if not name.endswith(SUFFIX) and not is_shipped(name):
        return load_model(name)
    parts = read_compact(name)
    finder = NameFinder.from_bytes(parts["names"])
    nlp = spacy.blank(finder.lang)
    pipe = nlp.add_pipe("esco_skills", config={"pretrained": None})
    ranker = cast("SkillRanker", pipe)
    ranker.from_parts(parts, exclude=["names"])
    ranker.finder = finder
    return nlp
