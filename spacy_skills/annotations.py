"""What the ranker writes on a doc: a span for each piece of evidence, and the doc's skills."""

from typing import Any

import numpy
from spacy.tokens import Doc, Span, SpanGroup

# That of typing tells pydantic too little before Python 3.12.
from typing_extensions import TypedDict

from .decision import Candidate, Evidence
from .taxonomy import Taxonomy

if not Doc.has_extension("skills"):
    Doc.set_extension("skills", default=[])


class EvidenceRecord(TypedDict):
    """Characters start to end of the doc's text, which is text; what kind of evidence it is."""

    start: int
    end: int
    text: str
    score: float
    evidence: Evidence


class GroupRecord(TypedDict):
    """A group of the taxonomy; level: how many groups stand above it."""

    level: int
    uri: str
    name: str
    code: str


class SkillRecord(TypedDict):
    """One of ``doc._.skills``: plain data (a DocBin makes tuples of lists, as of all user data).

    score: that of the best evidence. groups: those above it, the uppermost first. instead_of:
    URIs of skills above or below this one that the same words speak for, though less.
    """

    uri: str
    name: str
    score: float
    type: str
    reuse_level: str
    groups: list[GroupRecord]
    evidence: list[EvidenceRecord]
    instead_of: list[str]


def set_spans(
    doc: Doc, candidates: list[Candidate], taxonomy: Taxonomy, spans_key: str
) -> None:
    """A span per (sentence, skill): ``label_`` the name, ``kb_id_`` the URI, and in the order
    of the spans ``attrs["scores"]``, float32, and ``attrs["evidence"]``."""
    spans = []
    for candidate in candidates:
        skill = taxonomy.skills[candidate.row]
        start, end = candidate.start, candidate.end
        spans.append(Span(doc, start, end, label=skill.name, kb_id=skill.uri))
    attrs: dict[str, Any] = {
        "scores": numpy.array([c.score for c in candidates], dtype="float32"),
        "evidence": [c.evidence for c in candidates],
    }
    doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=spans, attrs=attrs)


def skill_records(
    doc: Doc, candidates: list[Candidate], taxonomy: Taxonomy, group_level: int
) -> list[SkillRecord]:
    """Each skill of the doc once, the most probable first.

    Of a skill and one above it in the taxonomy, all of whose evidence overlaps, the less
    probable one is left out. group_level: how far down groups are named, see ``groups_above``.
    """
    of_skill: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        of_skill.setdefault(candidate.row, []).append(candidate)
    best = {row: max(c.score for c in found) for row, found in of_skill.items()}
    order = sorted(of_skill, key=lambda row: (-best[row], row))
    instead_of = _near_duplicates(order, of_skill, taxonomy)
    return [
        _record(doc, row, of_skill[row], instead_of[row], taxonomy, group_level)
        for row in order
        if row in instead_of
    ]


def _near_duplicates(
    order: list[int], of_skill: dict[int, list[Candidate]], taxonomy: Taxonomy
) -> dict[int, list[int]]:
    """The rows that are kept, each with those that it stands for."""
    above = {
        row: {
            taxonomy.index(uri)
            for uri in taxonomy.ancestors(taxonomy.uris[row])
            if uri in taxonomy
        }
        for row in order
    }
    tokens = {
        row: {token for c in of_skill[row] for token in range(c.start, c.end)}
        for row in order
    }
    kept: dict[int, list[int]] = {}
    for row in order:
        for better in kept:
            related = better in above[row] or row in above[better]
            if related and all(
                tokens[better].intersection(range(c.start, c.end))
                for c in of_skill[row]
            ):
                kept[better].append(row)
                break
        else:
            kept[row] = []
    return kept


def _record(
    doc: Doc,
    row: int,
    candidates: list[Candidate],
    instead_of: list[int],
    taxonomy: Taxonomy,
    group_level: int,
) -> SkillRecord:
    skill = taxonomy.skills[row]
    evidence = []
    for candidate in sorted(candidates):
        span = doc[candidate.start : candidate.end]
        evidence.append(
            EvidenceRecord(
                start=span.start_char,
                end=span.end_char,
                text=span.text,
                score=round(candidate.score, 4),
                evidence=candidate.evidence,
            )
        )
    groups = taxonomy.groups_above(skill.uri, group_level)
    return SkillRecord(
        uri=skill.uri,
        name=skill.name,
        score=max(record["score"] for record in evidence),
        # ESCO writes "skill/competence" and "knowledge".
        type=skill.kind.partition("/")[0],
        reuse_level=skill.reuse_level,
        groups=[
            GroupRecord(level=level, uri=group.uri, name=group.name, code=group.code)
            for level, group in groups
        ],
        evidence=evidence,
        instead_of=[taxonomy.uris[other] for other in instead_of],
    )
