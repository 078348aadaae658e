import time

import pytest
from conftest import SKILLS, uri
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_skills.taxonomy import Group, Skill, Taxonomy


def skill(key, *broader, name=None):
    return Skill(key, name or key, "knowledge", (), "", "", broader)


def group(key, *broader):
    return Group(key, key, "", "", broader)


def test_rows_are_in_the_given_order(taxonomy):
    assert taxonomy.uris == [uri(key) for key in SKILLS]
    assert [taxonomy.index(u) for u in taxonomy.uris] == list(range(len(SKILLS)))
    assert taxonomy[uri("bread")].alt_names == ("make bread", "bake loaves")
    assert uri("bread") in taxonomy and uri("baking") not in taxonomy


def test_siblings_share_a_direct_parent():
    taxonomy = Taxonomy(
        [skill("a", "g"), skill("b", "g", "h"), skill("c", "h"), skill("d", "a")],
        [group("g", "top"), group("h", "top"), group("top")],
    )
    assert taxonomy.siblings("a") == ["b"]
    assert taxonomy.siblings("b") == ["a", "c"]
    assert taxonomy.siblings("d") == []
    assert taxonomy.broader("d") == ["a"]
    assert taxonomy.ancestors("d") == ["a", "g", "top"]
    assert taxonomy.ancestors("b") == ["g", "h", "top"]


@pytest.mark.parametrize(
    "skills,groups,message",
    [
        ([skill("a"), skill("a")], [], "S101.*a occurs twice"),
        ([skill("a")], [group("a")], "S101"),
        ([skill("a", "nowhere")], [], "S102.*nowhere"),
        (
            [skill("a", "b"), skill("b", "c"), skill("c", "a")],
            [],
            "S103.*a -> b -> c -> a",
        ),
        ([skill("a", "a")], [], "S103.*a -> a"),
    ],
)
def test_bad_taxonomies_are_refused(skills, groups, message):
    with pytest.raises(ValueError, match=message):
        Taxonomy(skills, groups)


def test_a_long_chain_is_no_circle():
    chain = [skill(f"s{i}", f"s{i + 1}") for i in range(5000)] + [skill("s5000")]
    assert len(Taxonomy(chain).ancestors("s0")) == 5000


@pytest.mark.parametrize(
    "name,expected",
    [
        ("bake bread", "bread"),
        (" bake, bread ", "bread"),
        ("Bake  Bread", "bread"),
        ("make bread", None),
        ("", None),
    ],
)
def test_find_compares_as_the_benchmark_needs(taxonomy, name, expected):
    assert taxonomy.find(name) == (expected and uri(expected))


def test_find_prefers_the_same_case():
    taxonomy = Taxonomy([skill("a", name="go"), skill("b", name="Go")])
    assert taxonomy.find("Go") == "b" and taxonomy.find("GO") == "a"


def test_round_trip(taxonomy, tmp_path):
    taxonomy.to_disk(tmp_path / "deep" / "taxonomy.bin")
    again = Taxonomy.from_disk(tmp_path / "deep" / "taxonomy.bin")
    assert again == taxonomy and again.fingerprint == taxonomy.fingerprint
    assert again.siblings(uri("java")) == taxonomy.siblings(uri("java"))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["taxonomy.bin"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_text_survives(names):
    skills = [
        Skill(f"u{i}", name, name, tuple(names), name, name, ())
        for i, name in enumerate(names)
    ]
    taxonomy = Taxonomy(skills)
    assert Taxonomy.from_bytes(taxonomy.to_bytes()) == taxonomy


@pytest.mark.parametrize("size", [0, 1, 50, -1])
def test_damaged_files_are_named(taxonomy, tmp_path, size):
    path = tmp_path / "taxonomy.bin"
    path.write_bytes(taxonomy.to_bytes()[:size])
    with pytest.raises(ValueError, match="S104.*taxonomy.bin"):
        Taxonomy.from_disk(path)


def test_other_data_is_refused():
    with pytest.raises(ValueError, match="S104"):
        Taxonomy.from_bytes(b"uri,name\n")


def test_a_large_one_loads_fast(tmp_path):
    skills = [
        Skill(
            f"http://example.org/{i}",
            f"skill {i}",
            "",
            ("x", "y"),
            "z" * 200,
            "",
            ("g",),
        )
        for i in range(14_000)
    ]
    Taxonomy(skills, [group("g")]).to_disk(tmp_path / "t")
    start = time.perf_counter()
    assert len(Taxonomy.from_disk(tmp_path / "t")) == 14_000
    assert time.perf_counter() - start < 5
