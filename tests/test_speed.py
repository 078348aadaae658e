import spacy
import srsly
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli


def test_speed_names_every_contender_and_all_of_the_time(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path / "pipeline")
    (tmp_path / "ad.txt").write_text("Bake bread.\nDrive trucks.\nLay cables.\n")
    output, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    result = CliRunner().invoke(
        skills_cli,
        ["speed", str(tmp_path / "pipeline"), str(tmp_path / "ad.txt"), "--rounds", "2"]
        + ["--output", str(output), "--plot", str(plot)],
    )
    assert result.exit_code == 0, result.output
    found = srsly.read_json(output)
    assert found["sentences"] == 3
    assert {"spacy-skills", "spacy-skills, 2 processes"} < set(found["medians"])
    assert all(len(values) == 2 for values in found["per_second"].values())
    assert abs(sum(found["shares"].values()) - 1) < 1e-6
    assert min(found["shares"].values()) >= 0
    assert found["shares"]["encoding"] > 0
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
