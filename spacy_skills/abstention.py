"""Does a pipeline keep silent where a sentence asks for nothing? Measured on marked sentences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from spacy.language import Language

from .span_training import MarkedSentence
from .spanner import BEGIN, OUTSIDE


@dataclass(frozen=True)
class Abstention:
    """asking, silent: sentences with and without a mark. precision, recall, f1: of "the
    sentence is given a skill" for "it has a mark". false_skills: skills per 100 sentences without
    a mark. found: share of the marks that evidence overlaps, justified: of the evidence that
    overlaps a mark."""

    asking: int
    silent: int
    precision: float
    recall: float
    f1: float
    false_skills: float
    found: float
    justified: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def measure_abstention(
    nlp: Language, sentences: Sequence[MarkedSentence], spans_key: str = "esco_skills"
) -> Abstention:
    """Annotate the sentences, those of one ad as the lines of a doc, and compare with the
    marks."""
    counts = dict.fromkeys(
        "asking silent hits wrong skills marks found evidence justified".split(), 0
    )
    ads = [list(of_ad) for _, of_ad in groupby(sentences, _ad_or_itself)]
    docs = nlp.pipe("\n".join(" ".join(s.words) for s in ad) for ad in ads)
    for ad, doc in zip(ads, docs):
        given = [(span.start_char, span.end_char) for span in doc.spans[spans_key]]
        start = 0
        for sentence in ad:
            end = start + len(" ".join(sentence.words))
            marks = [(start + a, start + b) for a, b in marked_characters(sentence)]
            _count(counts, marks, [span for span in given if start <= span[0] < end])
            start = end + 1
    precision = _share(counts["hits"], counts["hits"] + counts["wrong"])
    recall = _share(counts["hits"], counts["asking"])
    return Abstention(
        asking=counts["asking"],
        silent=counts["silent"],
        precision=precision,
        recall=recall,
        f1=_share(2 * precision * recall, precision + recall),
        false_skills=100 * _share(counts["skills"], counts["silent"]),
        found=_share(counts["found"], counts["marks"]),
        justified=_share(counts["justified"], counts["evidence"]),
    )


def _ad_or_itself(sentence: MarkedSentence) -> str | int:
    return id(sentence) if sentence.ad is None else sentence.ad


def _count(
    counts: dict[str, int], marks: list[tuple[int, int]], given: list[tuple[int, int]]
) -> None:
    """Add one sentence, with its marks and a span for each skill it was given."""
    counts["asking" if marks else "silent"] += 1
    if given:
        counts["hits" if marks else "wrong"] += 1
    if not marks:
        counts["skills"] += len(given)
    evidence = set(given)
    counts["marks"] += len(marks)
    counts["found"] += sum(_touches(mark, evidence) for mark in marks)
    counts["evidence"] += len(evidence)
    counts["justified"] += sum(_touches(span, marks) for span in evidence)


def marked_characters(sentence: MarkedSentence) -> Iterator[tuple[int, int]]:
    """The (start, end) of every mark in the words joined by blanks, layer by layer. A mark
    goes on until a word is outside or begins another."""
    places = []
    position = 0
    for word in sentence.words:
        places.append((position, position + len(word)))
        position += len(word) + 1
    for layer in zip(*sentence.tags):
        start = -1
        for i, tag in enumerate([*layer, OUTSIDE]):
            opens = tag != OUTSIDE and (tag == BEGIN or start < 0)
            if start >= 0 and (tag == OUTSIDE or opens):
                yield places[start][0], places[i - 1][1]
                start = -1
            if opens:
                start = i


def _touches(one: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(one[0] < end and start < one[1] for start, end in others)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
