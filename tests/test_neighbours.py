"""Tables of neighbours, against brute force on a small hierarchy."""

import zipfile

import numpy
import pytest
from conftest import uri

from spacy_skills.neighbours import (
    NeighbourTable,
    cached_table,
    cosine_table,
    levenshtein_table,
    relative_table,
    sibling_table,
)
from spacy_skills.taxonomy import Group, Skill, Taxonomy

# Two branches; "oil lamp" is narrower than "lamps", and two skills share the name "plan".
SKILLS = {
    "lamps": ("repair lamps", ["plan"], ["a1"]),
    "oil": ("repair oil lamps", [], ["a1", "lamps"]),
    "wires": ("repair wires", [], ["a1"]),
    "roofs": ("repair roofs", ["plan"], ["a1", "a2"]),
    "walls": ("paint walls", [], ["a2"]),
    "songs": ("write songs", ["compose"], ["b1"]),
    "lonely": ("sail", [], []),
}
GROUPS = {"a": [], "a1": ["a"], "a2": ["a"], "b": [], "b1": ["b"]}


@pytest.fixture(scope="module")
def hierarchy():
    return Taxonomy(
        [
            Skill(uri(key), name, "", tuple(alt), "", "", tuple(map(uri, broader)))
            for key, (name, alt, broader) in SKILLS.items()
        ],
        [Group(uri(g), g, "", "", tuple(map(uri, up))) for g, up in GROUPS.items()],
    )


def named(hierarchy, table, key):
    rows, weights = table.of(hierarchy.index(uri(key)))
    keys = [hierarchy.uris[row].rsplit("/", 1)[1] for row in rows]
    return dict(zip(keys, weights.tolist()))


def test_siblings_share_a_parent_and_are_not_above_below_or_namesakes(hierarchy):
    table = sibling_table(hierarchy)
    for key in SKILLS:
        mine = set(SKILLS[key][2])
        expected = {other for other in SKILLS if mine & set(SKILLS[other][2])} - {key}
        expected -= {"lamps": {"oil", "roofs"}, "oil": {"lamps"}}.get(key, set())
        expected -= {"roofs": {"lamps"}}.get(key, set())
        assert set(named(hierarchy, table, key)) == expected, key
    assert table.skipped == {"descendant": 1, "ancestor": 1, "same name": 2}


def test_cousins_come_after_siblings_and_weigh_less(hierarchy):
    found = named(hierarchy, relative_table(hierarchy, 2, 0.5), "wires")
    assert list(found) == ["lamps", "oil", "roofs", "walls"]
    # Three siblings share the weight 1, the one cousin has 0.5.
    assert list(found.values()) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.5])
    assert set(named(hierarchy, relative_table(hierarchy, 1, 0.5), "wires")) == {
        "lamps",
        "oil",
        "roofs",
    }
    assert not named(hierarchy, relative_table(hierarchy, 2, 0.5), "lonely")


def edits(a, b):
    """Levenshtein's distance by its definition."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


@pytest.mark.parametrize("all_names", [False, True])
def test_levenshtein_finds_the_fewest_edits(hierarchy, all_names):
    table = levenshtein_table(hierarchy, 3, all_names)
    skipped = {"lamps": ["oil", "roofs"], "oil": ["lamps"], "roofs": ["lamps"]}
    for key, (name, _, _) in SKILLS.items():
        distances = {
            other: min(edits(name, n) for n in [theirs, *(alt if all_names else [])])
            for other, (theirs, alt, _) in SKILLS.items()
            if other != key and other not in skipped.get(key, ())
        }
        expected = sorted(
            distances, key=lambda o: (distances[o], list(SKILLS).index(o))
        )
        assert list(named(hierarchy, table, key)) == expected[:3], key


def test_cosine_finds_the_nearest_vectors(hierarchy):
    vectors = numpy.random.default_rng(0).normal(size=(len(SKILLS), 5))
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    table = cosine_table(hierarchy, vectors, 2)
    for row, key in enumerate(SKILLS):
        allowed = [
            other
            for other in range(len(SKILLS))
            if other != row
            and {row, other} not in ({0, 1}, {0, 3})  # above each other, namesakes
        ]
        allowed.sort(key=lambda other: -float(vectors[row] @ vectors[other]))
        expected = [list(SKILLS)[other] for other in allowed[:2]]
        assert list(named(hierarchy, table, key)) == expected


def test_equal_distances_go_by_row(hierarchy):
    vectors = numpy.ones((len(SKILLS), 1))
    table = cosine_table(hierarchy, vectors, 2)
    assert list(named(hierarchy, table, "lonely")) == ["lamps", "oil"]


def test_tables_are_kept_and_made_again_only_for_other_settings(hierarchy, tmp_path):
    made = []

    def build():
        made.append(1)
        return levenshtein_table(hierarchy, 2, False)

    first = cached_table(hierarchy, build, tmp_path, strategy="levenshtein", limit=2)
    again = cached_table(hierarchy, build, tmp_path, strategy="levenshtein", limit=2)
    assert len(made) == 1 and again.skipped == first.skipped
    for name in ("ends", "rows", "weights"):
        assert numpy.array_equal(getattr(first, name), getattr(again, name))
    cached_table(hierarchy, build, tmp_path, strategy="levenshtein", limit=3)
    assert len(made) == 2
    fewer = Taxonomy(hierarchy.skills[-2:], hierarchy.groups.values())
    cached_table(fewer, build, tmp_path, strategy="levenshtein", limit=2)
    assert len(made) == 3


def test_a_damaged_table_is_named(hierarchy, tmp_path):
    cached_table(hierarchy, lambda: sibling_table(hierarchy), tmp_path, strategy="s")
    (path,) = tmp_path.iterdir()
    half = path.read_bytes()[:40]
    # Its decompressor raises OSError, as if the disk had failed.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("skipped.npy", bytes(1000))
    other = path.read_bytes().replace(b"BZh9", b"BZh\0")
    for damaged in (half, other):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"S501.*{path.name}"):
            NeighbourTable.from_disk(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        NeighbourTable.from_disk(path)
