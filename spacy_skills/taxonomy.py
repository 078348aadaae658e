"""The taxonomy: skills in a fixed row order, their groups, siblings and ancestors."""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path

import srsly

from .compressed import MAX_DATA, inflate, loads, read_bytes
from .errors import Errors
from .files import write_file

FORMAT = "spacy_skills.Taxonomy.v1"


@dataclass(frozen=True)
class Skill:
    """A skill or a piece of knowledge; broader holds the URIs of its direct parents."""

    uri: str
    name: str
    kind: str
    alt_names: tuple[str, ...]
    description: str
    reuse_level: str
    broader: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """A group of skills; broader holds the URIs of its direct parents."""

    uri: str
    name: str
    code: str
    description: str
    broader: tuple[str, ...]


class Taxonomy:
    """Skills and the groups above them. A skill's row is its index in every classifier."""

    def __init__(self, skills: Iterable[Skill], groups: Iterable[Group] = ()) -> None:
        """Raises ValueError for a URI that occurs twice, a broader link to a concept that
        is not there, and a chain of broader links that comes back to its start."""
        self.skills = list(skills)
        self.groups: dict[str, Group] = {}
        self._rows: dict[str, int] = {}
        for row, skill in enumerate(self.skills):
            if skill.uri in self._rows:
                raise ValueError(Errors.S101.format(uri=skill.uri))
            self._rows[skill.uri] = row
        for group in groups:
            if group.uri in self._rows or group.uri in self.groups:
                raise ValueError(Errors.S101.format(uri=group.uri))
            self.groups[group.uri] = group
        self._check_links()

    def __len__(self) -> int:
        return len(self.skills)

    def __iter__(self) -> Iterator[Skill]:
        return iter(self.skills)

    def __contains__(self, uri: object) -> bool:
        return uri in self._rows

    def __getitem__(self, uri: str) -> Skill:
        return self.skills[self._rows[uri]]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Taxonomy):
            return NotImplemented
        return self.skills == other.skills and self.groups == other.groups

    @cached_property
    def uris(self) -> list[str]:
        return [skill.uri for skill in self.skills]

    def index(self, uri: str) -> int:
        """The skill's row. Raises KeyError."""
        return self._rows[uri]

    def find(self, name: str) -> str | None:
        """URI of the skill with this preferred name, compared as the benchmark's
        annotations need it: blanks stripped, commas removed, case only if it decides."""
        exact, folded = self._by_name
        name = _normalise_name(name)
        return exact.get(name) or folded.get(name.casefold())

    @cached_property
    def _by_name(self) -> tuple[dict[str, str], dict[str, str]]:
        exact: dict[str, str] = {}
        folded: dict[str, str] = {}
        for skill in self.skills:
            name = _normalise_name(skill.name)
            exact.setdefault(name, skill.uri)
            folded.setdefault(name.casefold(), skill.uri)
        return exact, folded

    def broader(self, uri: str) -> list[str]:
        """Direct parents, groups or skills. Raises KeyError."""
        concept = self.groups[uri] if uri in self.groups else self[uri]
        return list(concept.broader)

    def narrower(self, uri: str) -> list[str]:
        """Direct children: skills in row order, then groups."""
        return list(self._children.get(uri, ()))

    def siblings(self, uri: str) -> list[str]:
        """The other skills that share a direct parent, in row order."""
        rows = {
            self._rows[child]
            for parent in self[uri].broader
            for child in self._children[parent]
            if child in self._rows
        }
        rows.discard(self._rows[uri])
        return [self.skills[row].uri for row in sorted(rows)]

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        concepts: list[Skill | Group] = [*self.skills, *self.groups.values()]
        for concept in concepts:
            for parent in concept.broader:
                children.setdefault(parent, []).append(concept.uri)
        return children

    def ancestors(self, uri: str) -> list[str]:
        """Every concept above this one, nearest first."""
        found: dict[str, None] = {}
        level = self.broader(uri)
        while level:
            found.update(dict.fromkeys(level))
            above = (parent for concept in level for parent in self.broader(concept))
            level = [parent for parent in dict.fromkeys(above) if parent not in found]
        return list(found)

    def groups_above(self, uri: str, level: int) -> list[tuple[int, Group]]:
        """The groups above a concept with their levels, from the uppermost, whose level is 0, to
        this level, and there by code. Raises KeyError."""
        levels = self._levels
        found = [u for u in self.ancestors(uri) if levels.get(u, level + 1) <= level]
        found.sort(key=lambda u: (levels[u], self.groups[u].code, u))
        return [(levels[u], self.groups[u]) for u in found]

    @cached_property
    def _levels(self) -> dict[str, int]:
        """How many groups stand above each group, by the shortest way."""
        levels: dict[str, int] = {}
        level = [uri for uri, group in self.groups.items() if not group.broader]
        for depth in range(len(self.groups)):
            new = [uri for uri in level if uri in self.groups and uri not in levels]
            levels.update(dict.fromkeys(new, depth))
            level = [child for uri in new for child in self._children.get(uri, ())]
        return levels

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen characters that change with the skills or their order."""
        return sha256("\n".join(self.uris).encode("utf8")).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        msg = {
            "format": FORMAT,
            "skills": [list(column) for column in zip(*map(astuple, self.skills))],
            "groups": [
                list(column) for column in zip(*map(astuple, self.groups.values()))
            ],
        }
        return zlib.compress(srsly.msgpack_dumps(msg), level=6)

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str = "bytes") -> "Taxonomy":
        """Raises ValueError, naming the source, if the data is no taxonomy or cut short."""
        try:
            msg = loads(inflate(data, MAX_DATA))
            if msg["format"] != FORMAT:
                raise ValueError(msg["format"])
            skills = [Skill(*cells) for cells in _rows(msg["skills"], (3, 6))]
            groups = [Group(*cells) for cells in _rows(msg["groups"], (4,))]
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(Errors.S104.format(path=source)) from err
        return cls(skills, groups)

    def to_disk(self, path: str | Path) -> None:
        """Write one file, whole or not at all."""
        write_file(Path(path), self.to_bytes())

    @classmethod
    def from_disk(cls, path: str | Path) -> "Taxonomy":
        try:
            data = read_bytes(Path(path), MAX_DATA)
        except ValueError as err:
            raise ValueError(Errors.S104.format(path=path)) from err
        return cls.from_bytes(data, source=str(path))

    def _check_links(self) -> None:
        parents = {skill.uri: skill.broader for skill in self.skills}
        parents.update({group.uri: group.broader for group in self.groups.values()})
        for uri, broader in parents.items():
            for parent in broader:
                if parent not in parents:
                    raise ValueError(Errors.S102.format(uri=uri, parent=parent))
        done: set[str] = set()
        for start in parents:
            # Depth first without recursion: chain is the path from start to here.
            chain = {start: iter(parents[start])}
            while chain:
                uri = next(reversed(chain))
                above = next(chain[uri], None)
                if above is None:
                    done.add(uri)
                    del chain[uri]
                elif above in chain:
                    path = [*chain, above]
                    cycle = " -> ".join(path[path.index(above) :])
                    raise ValueError(Errors.S103.format(chain=cycle))
                elif above not in done:
                    chain[above] = iter(parents[above])


def _rows(columns: list[list], of_lists: tuple[int, ...]) -> Iterator[tuple]:
    """The rows of a table whose cells are texts, or in some columns lists of texts. Raises
    TypeError or ValueError."""
    cells: list[list] = []
    for i, column in enumerate(columns):
        if i in of_lists:
            column = [tuple(cell) for cell in column]
        cells.append(column)
        texts = chain.from_iterable(column) if i in of_lists else column
        if set(map(type, texts)) - {str}:
            raise TypeError(f"column {i} holds more than texts")
    return zip(*cells, strict=True)


def _normalise_name(name: str) -> str:
    return re.sub(r"\s+", " ", name.replace(",", "")).strip()
