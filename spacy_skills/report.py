"""A page to look at: what the ads of a corpus ask for, and where each of them says so."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from jinja2 import Environment, FileSystemLoader, select_autoescape
from spacy import displacy
from spacy.language import Language

from .annotations import SkillRecord
from .extraction import AdRecord
from .sentences import split_ad

TEMPLATES = Path(__file__).parent / "templates"
COLOURS = {"name": "#f2c57c", "words": "#9fc5e8", "sentence": "#d9d2e9"}
TOP_SKILLS = 25
# A skill is listed under its first group of this level, or else of the lowest above it.
LISTED_LEVEL = 1


class Count(NamedTuple):
    """In how many ads, and in which share of the most frequent one's."""

    name: str
    uri: str
    ads: int
    share: float

    @property
    def leads_to_the_web(self) -> bool:
        """Whether the URI is safe to click on: others may run code or open files."""
        return self.uri.lower().startswith(("http://", "https://"))


@dataclass
class Demand:
    """How many ads ask for each skill; groups: the skills under each group, by name."""

    n_ads: int = 0
    silent: int = 0
    skills: Counter[tuple[str, str]] = field(default_factory=Counter)
    groups: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def add(self, record: AdRecord) -> None:
        self.n_ads += 1
        self.silent += not record["skills"]
        for skill in record["skills"]:
            key = (skill["name"], skill["uri"])
            self.skills[key] += 1
            self.groups.setdefault(_listed_under(skill), Counter())[key] += 1

    def top(self, n: int) -> list[Count]:
        return _counts(self.skills, n)

    def by_group(self) -> list[tuple[str, int, list[Count]]]:
        """Name, number of mentions and skills of each group, the largest first."""
        found = [
            (name, c.total(), _counts(c, len(c))) for name, c in self.groups.items()
        ]
        return sorted(found, key=lambda group: (-group[1], group[0]))


def _listed_under(skill: SkillRecord) -> str:
    groups = [g for g in skill["groups"] if g["level"] <= LISTED_LEVEL]
    lowest = max((group["level"] for group in groups), default=0)
    names = [group["name"] for group in groups if group["level"] == lowest]
    return names[0] if names else "other"


def _counts(counter: Counter[tuple[str, str]], n: int) -> list[Count]:
    order = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:n]
    most = order[0][1] if order else 1
    return [Count(name, uri, ads, ads / most) for (name, uri), ads in order]


def render_report(records: Iterable[AdRecord], *, title: str, max_ads: int) -> str:
    """One HTML page that needs nothing but itself: the skills that most ads ask for, all skills
    by group, and the first max_ads ads with their evidence."""
    demand = Demand()
    shown: list[tuple[AdRecord, list[tuple[str, bool]]]] = []
    nlp = spacy.blank("xx")
    for record in records:
        demand.add(record)
        if len(shown) < max_ads:
            shown.append((record, list(_lines(nlp, record))))
    # displaCy's markup stands in the page as it is, see _span_view; all else is escaped.
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html", "jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = templates.get_template("report.html.jinja")
    return page.render(
        title=title,
        demand=demand,
        top=demand.top(TOP_SKILLS),
        groups=demand.by_group(),
        ads=shown,
        colours=COLOURS,
    )


def _lines(nlp: Language, record: AdRecord) -> Iterator[tuple[str, bool]]:
    """The ad's sentences: displaCy's view (and True) of those with evidence, else the text."""
    text = record["text"]
    marks = [
        (evidence["start"], evidence["end"], skill["name"], evidence["evidence"])
        for skill in record["skills"]
        for evidence in skill["evidence"]
    ]
    left = deque(sorted(marks))
    own: list[tuple[int, int, str, str]] = []
    for start, end in split_ad(text):
        while left and left[0][0] < end:
            own.append(left.popleft())
        # Evidence may begin before the sentence, with its number in a list.
        own = [mark for mark in own if start < mark[1]]
        if own:
            yield _span_view(nlp, text[start:end], start, own), True
        else:
            yield text[start:end], False


def _span_view(
    nlp: Language, text: str, offset: int, marks: Sequence[tuple[int, int, str, str]]
) -> str:
    doc = nlp.make_doc(text)
    spans: list[dict[str, Any]] = []
    colours = {}
    for start, end, name, kind in marks:
        bounds = max(start - offset, 0), min(end - offset, len(text))
        span = doc.char_span(*bounds, alignment_mode="expand")
        if span is not None:
            # displaCy escapes the text, but no labels.
            label = escape(name)
            spans.append(
                {"start_token": span.start, "end_token": span.end, "label": label}
            )
            colours[label] = COLOURS[kind]
    view = {"text": text, "spans": spans, "tokens": [token.text for token in doc]}
    options = {"colors": colours, "top_offset_step": 20}
    return displacy.render(
        [view], style="span", manual=True, options=options, jupyter=False
    )
