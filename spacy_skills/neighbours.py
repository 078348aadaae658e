"""Which skills lie close to a skill: the tables that sampling strategies draw from.

A table is computed once for the whole taxonomy and, given a folder, kept there.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from .compressed import MAX_WEIGHTS, check_size, read_bytes
from .errors import Errors
from .files import write_file
from .taxonomy import Taxonomy

# Rows of a distance matrix held at a time: with 100,000 names, 100 MB.
ROWS_PER_BLOCK = 256

# Candidates of a skill by their row, each with the weight it is drawn with, nearest first.
Candidates = Iterable[tuple[int, float]]


@dataclass
class NeighbourTable:
    """Each skill's neighbours, nearest first.

    ends: [skills] where each skill's part of rows and weights ends.
    rows, weights: [pairs] the neighbour's row, and its share of the skill's draws.
    skipped: how many candidates were left out, by reason.
    """

    ends: numpy.ndarray
    rows: numpy.ndarray
    weights: numpy.ndarray
    skipped: dict[str, int] = field(default_factory=dict)

    def of(self, row: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Rows and weights of the skill's neighbours."""
        start = self.ends[row - 1] if row else 0
        return self.rows[start : self.ends[row]], self.weights[start : self.ends[row]]

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        numpy.savez_compressed(
            buffer,
            ends=self.ends,
            rows=self.rows,
            weights=self.weights,
            skipped=numpy.frombuffer(json.dumps(self.skipped).encode(), dtype="uint8"),
        )
        return buffer.getvalue()

    @classmethod
    def from_disk(cls, path: Path) -> "NeighbourTable":
        """Raises OSError, or ValueError, naming the file, if it is damaged."""
        try:
            data = read_bytes(path, MAX_WEIGHTS)
        except ValueError as err:
            raise ValueError(Errors.S501.format(path=path, reason=err)) from err
        try:
            return cls._unpack(io.BytesIO(data))
        except Exception as err:
            # numpy raises whatever the damage leads to, OSError and MemoryError too.
            raise ValueError(Errors.S501.format(path=path, reason=err)) from err

    @classmethod
    def _unpack(cls, data: io.BytesIO) -> "NeighbourTable":
        with zipfile.ZipFile(data) as archive:
            sizes = [info.file_size for info in archive.infolist()]
        check_size(sum(sizes), MAX_WEIGHTS)
        with numpy.load(data, allow_pickle=False) as saved:
            skipped = dict(json.loads(saved["skipped"].tobytes()))
            table = cls(saved["ends"], saved["rows"], saved["weights"], skipped)
        table._check()
        return table

    def _check(self) -> None:
        """Raises ValueError if the arrays do not belong together."""
        n, ends = len(self.rows), numpy.concatenate([[0], self.ends, [len(self.rows)]])
        inside = (self.rows >= 0) & (self.rows < len(self.ends))
        drawn = numpy.isfinite(self.weights) & (self.weights >= 0)
        if not (
            self.ends.dtype.kind == self.rows.dtype.kind == "i"
            and self.rows.shape == self.weights.shape == (n,)
            and (numpy.diff(ends) >= 0).all()
            and inside.all()
            and drawn.all()
        ):
            raise ValueError("its numbers are none of a table")


def cached_table(
    taxonomy: Taxonomy,
    build: Callable[[], NeighbourTable],
    cache: Path | None,
    **settings: object,
) -> NeighbourTable:
    """The table of these settings: read from the folder, or built and saved there."""
    if cache is None:
        return build()
    known = [(s.uri, s.name, s.alt_names, s.broader) for s in taxonomy]
    known += [(g.uri, "", (), g.broader) for g in taxonomy.groups.values()]
    key = repr((sorted(settings.items()), known)).encode("utf8")
    digest = blake2b(key, digest_size=8).hexdigest()
    path = Path(cache) / f"{settings['strategy']}-{digest}.npz"
    if path.exists():
        table = NeighbourTable.from_disk(path)
        if len(table.ends) != len(taxonomy):
            reason = f"it is of {len(table.ends):,} skills"
            raise ValueError(Errors.S501.format(path=path, reason=reason))
        return table
    table = build()
    write_file(path, table.to_bytes())
    return table


def sibling_table(taxonomy: Taxonomy) -> NeighbourTable:
    """Skills that share a broader concept (Decorte et al. 2022, §3.3), all alike."""

    def candidates(row: int) -> Candidates:
        siblings = taxonomy.siblings(taxonomy.uris[row])
        return [(taxonomy.index(uri), 1.0) for uri in siblings]

    return _make_table(taxonomy, candidates)


def relative_table(taxonomy: Taxonomy, steps: int, decay: float) -> NeighbourTable:
    """Siblings, cousins and so on: skills below a concept that is up to `steps` above.

    Those first met one step higher share `decay` times the weight of those before.
    """

    def candidates(row: int) -> Candidates:
        found = {row}
        level = [taxonomy.uris[row]]
        for step in range(steps):
            above = [parent for uri in level for parent in taxonomy.broader(uri)]
            level = list(dict.fromkeys(above))
            ring = sorted(
                {r for uri in level for r in _skills_below(taxonomy, uri)} - found
            )
            yield from ((r, decay**step / len(ring)) for r in ring)
            found.update(ring)

    return _make_table(taxonomy, candidates)


def _skills_below(taxonomy: Taxonomy, uri: str) -> set[int]:
    below: set[str] = set()
    level = taxonomy.narrower(uri)
    while level:
        below.update(level)
        level = [child for u in level for child in taxonomy.narrower(u)]
    return {taxonomy.index(u) for u in below if u in taxonomy}


def levenshtein_table(
    taxonomy: Taxonomy, limit: int, all_names: bool
) -> NeighbourTable:
    """The skills with the fewest edits from this one's preferred name, case aside, to
    theirs, or to any of their names."""
    queries = [skill.name.casefold() for skill in taxonomy]
    names, owners = [], []
    for row, skill in enumerate(taxonomy):
        for name in (skill.name, *(skill.alt_names if all_names else ())):
            names.append(name.casefold())
            owners.append(row)
    firsts = numpy.flatnonzero(numpy.diff(owners, prepend=-1))

    def distances(start: int, end: int) -> numpy.ndarray:
        edits = process.cdist(
            queries[start:end],
            names,
            scorer=Levenshtein.distance,
            dtype=numpy.uint16,
            workers=-1,
        )
        return numpy.minimum.reduceat(edits, firsts, axis=1)

    return _nearest_table(taxonomy, distances, limit)


def cosine_table(
    taxonomy: Taxonomy, vectors: numpy.ndarray, limit: int
) -> NeighbourTable:
    """The skills whose names' unit vectors [skills, width] are nearest."""

    def distances(start: int, end: int) -> numpy.ndarray:
        # Rounded: the last bits of a product depend on the machine, and would decide
        # between names that are equally far.
        return numpy.round(1 - vectors[start:end] @ vectors.T, 5)

    return _nearest_table(taxonomy, distances, limit)


def _nearest_table(
    taxonomy: Taxonomy, distances: Callable[[int, int], numpy.ndarray], limit: int
) -> NeighbourTable:
    """The `limit` nearest, all alike; of equals the lower row."""
    # Those that will be skipped may be among the nearest.
    reserve = max((len(skip) for skip in _unsuitable(taxonomy)), default=0)
    kept = min(limit + reserve + 1, len(taxonomy))
    nearest: list[numpy.ndarray] = []
    for start in range(0, len(taxonomy), ROWS_PER_BLOCK):
        block = distances(start, min(start + ROWS_PER_BLOCK, len(taxonomy)))
        nearest.extend(_first_rows(block[i], kept) for i in range(len(block)))

    def candidates(row: int) -> Candidates:
        return [(int(r), 1.0) for r in nearest[row] if r != row]

    return _make_table(taxonomy, candidates, limit)


def _first_rows(distances: numpy.ndarray, n: int) -> numpy.ndarray:
    """The rows of the n smallest, in order; of equals the lower row first."""
    limit = numpy.partition(distances, n - 1)[n - 1]
    rows = numpy.flatnonzero(distances <= limit)
    return rows[numpy.argsort(distances[rows], kind="stable")][:n].astype("int32")


def _make_table(
    taxonomy: Taxonomy,
    candidates: Callable[[int], Candidates],
    limit: int | None = None,
) -> NeighbourTable:
    rows: list[int] = []
    weights: list[float] = []
    ends = []
    skipped: Counter[str] = Counter()
    unsuitable = _unsuitable(taxonomy)
    for row in range(len(taxonomy)):
        n_kept = 0
        for candidate, weight in candidates(row):
            if n_kept == limit:
                break
            reason = unsuitable[row].get(candidate)
            if reason is not None:
                skipped[reason] += 1
                continue
            rows.append(candidate)
            weights.append(weight)
            n_kept += 1
        ends.append(len(rows))
    return NeighbourTable(
        numpy.asarray(ends, dtype="int64"),
        numpy.asarray(rows, dtype="int32"),
        numpy.asarray(weights, dtype="float32"),
        dict(skipped),
    )


def _unsuitable(taxonomy: Taxonomy) -> list[dict[int, str]]:
    """For each skill those whose sentences are likely to ask for it too, and why."""
    skip: list[dict[int, str]] = [{} for _ in taxonomy.skills]
    for row, uri in enumerate(taxonomy.uris):
        for ancestor in taxonomy.ancestors(uri):
            if ancestor in taxonomy:
                skip[row][taxonomy.index(ancestor)] = "ancestor"
                skip[taxonomy.index(ancestor)][row] = "descendant"
    by_name: dict[str, list[int]] = {}
    for row, skill in enumerate(taxonomy):
        for name in {n.casefold().strip() for n in (skill.name, *skill.alt_names)}:
            by_name.setdefault(name, []).append(row)
    for rows in by_name.values():
        for row in rows:
            skip[row].update((other, "same name") for other in rows if other != row)
    return skip
