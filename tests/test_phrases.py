import pytest
import spacy

from spacy_skills.phrases import Segments, make_clause_phrases, make_no_phrases

nlp = spacy.blank("en")


def pieces(text, **settings):
    return [p.text for p in make_clause_phrases(**settings)(nlp.make_doc(text)[:])]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("Java, Python and SQL", ["Java", "Python", "SQL"]),
        ("bake bread (rye) or pastry.", ["bake bread", "rye", "pastry"]),
        ("full-stack engineers; HTML/CSS", ["full-stack engineers", "HTML", "CSS"]),
        ("one single clause", []),
        ("one single clause.", []),
        ("", []),
        ("...", []),
        ("🎉 , 🎉", []),
    ],
)
def test_cuts_at_punctuation_and_conjunctions(text, expected):
    assert pieces(text) == expected


def test_conjunctions_and_bound_are_settings():
    assert pieces("Brot und Kuchen", conjunctions=["und"]) == ["Brot", "Kuchen"]
    assert pieces("a, b, c, d", max_phrases=2) == ["a", "b"]


def test_segments_keep_each_sentence_before_its_pieces():
    doc = nlp.make_doc("Bake bread, bake pastry. Drive.")
    for token in doc:
        token.is_sent_start = token.i in (0, 6)
    segments = Segments.from_docs([nlp.make_doc(""), doc], make_clause_phrases())
    assert [s.text for s in segments.spans] == [
        "Bake bread, bake pastry.",
        "Bake bread",
        "bake pastry",
        "Drive.",
    ]
    assert segments.starts == [0, 3]
    assert [s.text for s in segments.sentences] == [
        "Bake bread, bake pastry.",
        "Drive.",
    ]


def test_stream_yields_all_sentences_in_bounded_batches():
    docs = [nlp.make_doc(text) for text in ("a", "", "  ", "b, c", "d")]
    batches = list(Segments.stream(docs, make_no_phrases(), 2))
    assert [[s.text for s in b.sentences] for b in batches] == [["a", "b, c"], ["d"]]
    assert all(len(batch.docs) == len(batch) for batch in batches)
