import time

import pytest
import spacy
from spacy.tokens import Doc

from spacy_skills.sentences import (
    MAX_SENTENCE,
    NearDuplicates,
    clean_sentence,
    read_sentences,
    sample_sentences,
    split_ad,
)


def cut(text):
    return [text[start:end] for start, end in split_ad(text)]


def test_lines_headings_and_bullets():
    ad = (
        "Your tasks:\n\n• Weld pipes\n - Read plans\r\n* Grind\n1. Measure\n"
        "2) Paint\n(a) Sand\no Clean\n"
    )
    assert cut(ad) == [
        "Your tasks:",
        "Weld pipes",
        "Read plans",
        "Grind",
        "Measure",
        "Paint",
        "Sand",
        "Clean",
    ]


def test_bullets_that_lost_their_lines():
    assert cut("Skills • Python • SQL") == ["Skills", "Python", "SQL"]
    assert cut("Duties * Drive vans * Load goods") == [
        "Duties",
        "Drive vans",
        "Load goods",
    ]
    assert cut("full-time - day shift, C* search") == [
        "full-time - day shift, C* search"
    ]


def test_first_line_may_be_an_item():
    assert cut("- Cook\n- Bake") == ["Cook", "Bake"]


@pytest.mark.parametrize(
    "text, count",
    [
        ("You cook. You serve guests! Ready? Apply.", 4),
        ("He said: “Apply now.” Then we talk.", 2),
        ("Report to Dr. Smith and J. Doe. Work in the U.S. Army hospital.", 2),
        ("Knowledge of tools, e.g. Excel, is needed.", 1),
        ("B.S. or Ph.D. Degree in physics, min. 3 years, ref. No. 51 is a plus.", 1),
        ("Version 3.5 of Node.js and .NET", 1),
        ("approx. 40 hours. 3 shifts.", 2),
        ("We sell shoes, hats etc. You advise customers.", 2),
        ("C++. .NET is a plus", 2),
    ],
)
def test_sentence_ends(text, count):
    assert len(cut(text)) == count


def test_wrapped_lines_are_joined_and_lists_are_not():
    wrapped = "You are responsible for the maintenance of our machines\nand for safety."
    assert len(cut(wrapped)) == 1
    assert len(cut(wrapped.replace("\nand", "\n\nand"))) == 2
    assert cut("python\njava\nsql") == ["python", "java", "sql"]


def test_html_remains():
    ad = "<ul><li>Lead <b>small</b> teams</li><li class='x'>R&amp;D&nbsp;work</li></ul>"
    assert [clean_sentence(s) for s in cut(ad)] == ["Lead small teams", "R&D work"]
    escaped = "&lt;p&gt;Bake bread&lt;/p&gt;&lt;p&gt;Clean ovens&lt;/p&gt;&bull; Sell"
    assert cut(escaped) == ["Bake bread", "Clean ovens", "Sell"]


def test_clean_sentence():
    assert clean_sentence("  •  Plan\u00a0\t routes<br/>daily ") == "Plan routes daily"
    assert clean_sentence("co\u00adoperate \ud83d now") == "cooperate now"
    assert clean_sentence("shifts <8 hours") == "shifts <8 hours"
    assert clean_sentence("- 5 degrees") == "5 degrees"
    assert clean_sentence("-5 degrees") == "-5 degrees"


def test_odd_ads():
    assert cut("") == [] and cut(" \n\t ") == [] and cut("•\n•") == []
    assert cut("🎉🎉 🚀") == ["🎉🎉 🚀"]


@pytest.mark.parametrize("unit", ["word ", "x", ". ", "...", " ", "<p ", "&lt;p "])
def test_one_line_of_a_megabyte_is_fast(unit):
    text = unit * (1_000_000 // len(unit))
    began = time.perf_counter()
    offsets = list(split_ad(text))
    assert time.perf_counter() - began < 5
    assert all(0 < end - start <= MAX_SENTENCE for start, end in offsets)
    kept = sum(end - start for start, end in offsets)
    if unit in ("word ", "x"):
        assert kept >= 0.99 * len(text)


def test_read_sentences(tmp_path):
    path = tmp_path / "ad.txt"
    path.write_text("Cook &amp; baker\n\n123 🎉\n• Bake.", encoding="utf8")
    assert list(read_sentences(path)) == ["Cook & baker", "Bake."]


def test_sample_draws_from_the_whole_file_alike(tmp_path):
    path = tmp_path / "ads.tsv"
    lines = [f"You bake number {i}. Then you rest." for i in range(400)]
    path.write_text("text\n" + "\n".join(lines), encoding="utf8")
    sample = list(sample_sentences(path, 100))
    assert len(sample) == 100
    assert sample == list(sample_sentences(path, 100))
    assert sample != list(sample_sentences(path, 100, seed=1))
    numbers = [int(s.split()[-1].strip(".")) for s in sample if "number" in s]
    assert len(set(numbers)) == len(numbers) == 50
    assert 10 < sum(number < 200 for number in numbers) < 40
    everything = list(sample_sentences(path, 10_000))
    assert sorted(everything) == sorted(read_sentences(path))


def test_near_duplicates():
    seen = NearDuplicates(megabytes=1).seen
    assert not seen("Lift up to 25 kg.")
    assert seen("LIFT up to 5 kg!")
    assert not seen("Lift up to 25 tons.")
    other = NearDuplicates(megabytes=1)
    assert not any(
        other.seen(f"sentence {'abcdefghij'[n % 10] * n}") for n in range(999)
    )


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("ad_sentencizer")
    return nlp


def test_sentencizer_agrees_with_split_ad(nlp):
    ad = "Tasks:\n\n• Weld pipes\n• Read plans. Report to Dr. Smith.\n"
    sents = [sent.text.strip() for sent in nlp(ad).sents]
    assert sents == [
        "Tasks:",
        "• Weld pipes",
        "• Read plans.",
        "Report to Dr. Smith.",
    ]


@pytest.mark.parametrize("ad", ["", " ", "\n\n", "🎉", "word", "•\n\n•", "a.b\n"])
def test_sentencizer_on_odd_ads(nlp, ad):
    doc = nlp(ad)
    assert "".join(sent.text_with_ws for sent in doc.sents) == ad


def test_sentencizer_keeps_existing_bounds(nlp):
    doc = Doc(nlp.vocab, words=["A.", "B", "C"], sent_starts=[True, False, True])
    assert [sent.text for sent in nlp.get_pipe("ad_sentencizer")(doc).sents] == [
        "A. B",
        "C",
    ]


def test_sentencizer_survives_a_round_trip(nlp, tmp_path):
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert [s.text for s in again("Bake. Sell.").sents] == ["Bake.", "Sell."]
    assert again.analyze_pipes()["problems"]["ad_sentencizer"] == []


def test_cells_of_tables():
    table = "Pay\tA7\n| Skill | Level |\n|---|---|\n| Baking | high |\nA | B, C | D\n"
    found = [s for s in cut(table) if any(map(str.isalnum, s))]
    assert found == ["Pay", "A7", "Skill", "Level", "Baking", "high", "A | B, C | D"]


def test_markdown_headings_lose_their_marks():
    assert cut("## Tasks\n### You bake") == ["Tasks", "You bake"]


def test_html_and_markdown_files_are_read_without_their_markup(tmp_path):
    (tmp_path / "a.html").write_text("<p>You <b>bake</b><p>bread", encoding="utf8")
    (tmp_path / "b.md").write_text("You **bake**\nrolls", encoding="utf8")
    assert list(read_sentences(tmp_path)) == ["You bake", "bread", "You bake rolls"]
