import gzip
import json

import pytest

from spacy_skills.ads import read_ads


def texts(path, **kwargs):
    return [ad.text for ad in read_ads(path, **kwargs)]


def test_txt_file_is_one_ad(tmp_path):
    path = tmp_path / "nurse.txt"
    path.write_text("Nurse wanted.\n\nYou care.\n", encoding="utf8")
    (ad,) = read_ads(path)
    assert ad.text == "Nurse wanted.\n\nYou care.\n"
    assert ad.source == f"{path}:1"


def test_jsonl_takes_the_field_and_skips_empty_ads(tmp_path):
    path = tmp_path / "ads.jsonl"
    rows = [{"body": "one"}, {"body": " "}, {"body": None}, {"body": "tw\u00f6"}]
    path.write_text("\n\n".join(map(json.dumps, rows)), encoding="utf8")
    ads = list(read_ads(path, text_field="body"))
    assert [ad.text for ad in ads] == ["one", "tw\u00f6"]
    assert ads[1].source == f"{path}:7"


def test_csv_as_spreadsheets_write_it(tmp_path):
    path = tmp_path / "ads.csv"
    rows = 'id,text\r\n1,"A ""good"" cook,\r\nfull time"\r\n2,\r\n3,Plumber\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + rows.encode("utf8"))
    ads = list(read_ads(path))
    assert [ad.text for ad in ads] == ['A "good" cook,\r\nfull time', "Plumber"]
    assert [ad.source for ad in ads] == [f"{path}:2", f"{path}:5"]


def test_tsv_with_header_and_without(tmp_path):
    path = tmp_path / "ads.tsv.gz"
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.write('text\tsource\n"Quoted\ttab"\tweb\n')
    assert texts(path) == ["Quoted\ttab"]
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.write('3\t"Hands-on" cook\n4\tBaker "wanted\n\n')
    assert texts(path, text_field="1") == ['"Hands-on" cook', 'Baker "wanted']


def test_folder_is_read_in_sorted_order(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "c.TXT").write_text("third")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "notes.doc").write_text("no")
    assert texts(tmp_path) == ["first", "second", "third"]


def test_long_ad_in_a_table(tmp_path):
    path = tmp_path / "ads.csv"
    path.write_text("text\n" + "word " * 200_000 + "\n")
    assert len(texts(path)[0]) == 1_000_000


@pytest.mark.parametrize(
    "name, content, field, expected",
    [
        (
            "ads.csv",
            b"Cook wanted,Paris\n",
            "text",
            "has no column 'text'.*Cook wanted",
        ),
        ("ads.csv", b"", "text", "has no column 'text'"),
        ("ads.csv", b'text\nfine\n"Open\nand on', "text", "line 3 can't be read"),
        ("ads.csv", b"one\ntwo\n", "3", "line 1 has only 1 columns"),
        ("ads.tsv", b"a\tb\nc\n", "1", "line 2 has only 1 columns"),
        ("ads.jsonl", b'{"text": "a"}\n{"text": \n', "text", "line 2 is not a JSON"),
        ("ads.jsonl", b'["a"]\n', "text", "line 1 is not a JSON object.*list"),
        ("ads.jsonl", b'{"body": "a"}\n', "text", "no text under 'text'.*body"),
        ("ads.jsonl", b'{"text": 3}\n', "text", "no text under 'text'"),
        ("ads.txt", "Fine\nKöchin".encode("latin-1"), "text", "line 2 is not UTF-8"),
        ("ads.txt", "Cook".encode("utf-16-le"), "text", "line 1 is not UTF-8"),
        ("ads.txt", "Cook".encode("utf-16"), "text", "line 1 is not UTF-8"),
        ("ads.txt.gz", b"not gzipped", "text", "damaged after line 0"),
        ("ads.pdf", b"%PDF", "text", "ends in none of .txt, .html"),
    ],
)
def test_bad_input_names_file_line_and_remedy(tmp_path, name, content, field, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=expected) as error:
        texts(path, text_field=field)
    assert name in str(error.value)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "ads.jsonl.gz"
    rows = "".join(json.dumps({"text": f"ad {n * n}"}) + "\n" for n in range(2000))
    path.write_bytes(gzip.compress(rows.encode("utf8"))[:-2000])
    with pytest.raises(ValueError, match=r"ads.jsonl.gz' can't be read .* line \d+"):
        texts(path)


def test_missing_path_and_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="Can't find the job ads"):
        texts(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no job ads"):
        texts(tmp_path)


def test_what_cannot_be_read_is_reported_and_the_rest_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "one"}\n\xff\n[]\n{"text": "two"}')
    (tmp_path / "b.tsv").write_bytes(b"three\n\xff\nfour\n")
    (tmp_path / "c.csv").write_text('text\nfive\n"six', encoding="utf8")
    (tmp_path / "d.csv").write_text("body\nseven", encoding="utf8")
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(b"eight" * 1000)[:-9])
    (tmp_path / "f.txt").write_text("nine", encoding="utf8")
    errors = []
    ads = read_ads(tmp_path, on_error=errors.append)
    assert [ad.text for ad in ads] == ["one", "two", "five", "nine"]
    places = [
        "a.jsonl', line 2",
        "a.jsonl', line 3",
        "b.tsv",
        "c.csv",
        "d.csv",
        "e.txt",
    ]
    assert len(errors) == len(places)
    for error, place in zip(errors, places):
        assert place in str(error)
    rows = read_ads(tmp_path / "b.tsv", text_field="0", on_error=errors.append)
    assert [ad.text for ad in rows] == ["three", "four"]
    assert "b.tsv', line 2" in str(errors[-1])


def test_markup_is_what_the_name_says(tmp_path):
    for name in ("a.html", "b.HTM", "c.md", "d.txt"):
        (tmp_path / name).write_text("<p>x", encoding="utf8")
    markup = [ad.markup for ad in read_ads(tmp_path)]
    assert markup == ["html", "html", "markdown", "auto"]
