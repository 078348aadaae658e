"""How cost grows with the sentences: of annotating them, and of labelling them distantly."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import spacy
from spacy.language import Language
from tqdm import tqdm

from .ads import read_ads
from .corpus import build_corpus
from .matcher import SkillMatcher
from .peer_server import peak_megabytes
from .ranker import SkillRanker
from .sentences import NearDuplicates, read_sentences

# What is done once is done before the clock starts.
WARM_UP = "Bake bread."


class Cost(NamedTuple):
    """Of the work, not of loading: the time, and what memory the process held before and at
    most."""

    seconds: float
    megabytes_before: float
    peak_megabytes: float


@contextmanager
def _costs() -> Iterator[list[float]]:
    """The parts of the cost of what is done in this context, once it is done."""
    # Unpacking takes more than what is unpacked. Linux alone can forget the peak.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before, started = peak_megabytes(), time.perf_counter()
    found: list[float] = []
    yield found
    found += time.perf_counter() - started, before, peak_megabytes()


def write_distinct(source: Path, target: Path, n: int, text_field: str) -> int:
    """Write the first n distinct sentences of ads, or as many as there are, as JSON lines;
    return their number. Raises ValueError for unreadable ads (see ``ads.read_ads``)."""
    seen = NearDuplicates().seen
    sentences = read_sentences(source, text_field=text_field)
    count = 0
    with target.open("w", encoding="utf8") as file:
        for text in islice((s for s in sentences if not seen(s)), n):
            file.write(json.dumps({"text": text}) + "\n")
            count += 1
    return count


def annotate(nlp: Language, ranker: SkillRanker, sentences: Path, n: int) -> Cost:
    """Of ``nlp.pipe`` in one process, reading included."""
    nlp(WARM_UP)
    with _costs() as found:
        texts = (ad.text for ad in read_ads(sentences))
        for _ in tqdm(nlp.pipe(texts), f"Annotating {n:,}", n, unit_scale=True):
            pass
    return Cost(*found)


def label(nlp: Language, ranker: SkillRanker, sentences: Path, n: int) -> Cost:
    """Of the command `skills corpus` in one process, with the names that the ranker knows."""
    labeller = _labeller(nlp, ranker)
    labeller(WARM_UP)
    with tempfile.TemporaryDirectory() as folder, _costs() as found:
        build_corpus(sentences, folder, labeller, n_process=1, show_progress=True)
    return Cost(*found)


TASKS: dict[str, Callable[[Language, SkillRanker, Path, int], Cost]] = {
    "annotating": annotate,
    "labelling": label,
}


def _labeller(nlp: Language, ranker: SkillRanker) -> Language:
    """A pipeline of the matcher alone."""
    finder = ranker.finder
    inflection = "lemma" if finder is None else finder.inflection
    labeller = spacy.blank(nlp.lang or "xx")
    matcher = labeller.add_pipe("esco_matcher", config={"inflection": inflection})
    assert isinstance(matcher, SkillMatcher)
    matcher.initialize(nlp=labeller, taxonomy=ranker.taxonomy)
    if finder is not None:
        # It knows which names were dropped.
        matcher.finder = finder
    return labeller
