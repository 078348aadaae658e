import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_skills.name_index import NameIndex

WORDS = st.lists(st.sampled_from(["a", "b", "c", "ab"]), min_size=1, max_size=4)


@given(st.lists(WORDS, max_size=8), st.lists(st.sampled_from("a b c ab x".split())))
def test_finds_what_spacys_phrase_matcher_finds(names, text):
    vocab = Vocab()
    matcher = PhraseMatcher(vocab)
    index: dict[str, list[int]] = {}
    for row, words in enumerate(names):
        matcher.add(str(row), [Doc(vocab, words=words)])
        index.setdefault(" ".join(words), []).append(row)
    expected = {
        (start, end, int(vocab.strings[key]))
        for key, start, end in matcher(Doc(vocab, words=text))
    }
    found = NameIndex(index).find(text)
    assert {(start, end, row) for start, end, rows in found for row in rows} == expected


def test_plain_data_makes_the_same_index():
    index = NameIndex({"a b": [1, 2], "a": [0], "c": [1, 2]})
    data = index.to_dict()
    assert data == {"rows": [[1, 2], [0]], "names": [["a b", "c"], ["a"]]}
    assert NameIndex.from_dict(data).names == index.names


@pytest.mark.parametrize("data", [{}, {"rows": [[1]], "names": []}, {"rows": 1}])
def test_damaged_data_is_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        NameIndex.from_dict(data)
