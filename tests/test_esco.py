import pytest
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.esco import load_taxonomy

FILES = {
    "skills_en.csv": (
        "conceptType,conceptUri,skillType,reuseLevel,preferredLabel,altLabels,"
        "hiddenLabels,status,description\n"
        'K,u/bread,skill/competence,sector-specific,bake bread,"bake loaves\n'
        ' make  bread \nbake bread",loafing,released,"Mix, knead, bake."\n'
        "K,u/flour,knowledge,cross-sector,flour ,,,released,Kinds of flour.\n"
        "K,u/old,knowledge,cross-sector,old,,,obsolete,Gone.\n"
    ),
    "broaderRelationsSkillPillar.csv": (
        "conceptType,conceptUri,broaderType,broaderUri\n"
        "K,u/bread,SkillGroup,u/baking\n"
        "K,u/flour,SkillGroup,u/baking\n"
        "K,u/flour,SkillGroup,u/baking\n"
        "SkillGroup,u/baking,SkillGroup,u/top\n"
        "SkillGroup,u/retired,SkillGroup,u/top\n"
    ),
    "skillGroups_en.csv": (
        "conceptType,conceptUri,preferredLabel,description,code\n"
        "SkillGroup,u/baking,baking,,S1.1\nSkillGroup,u/top,all,,S1\n"
    ),
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    return tmp_path


def edit(folder, name, old, new):
    text = FILES[name]
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf8")


def test_reads_skills_names_and_links(folder):
    taxonomy = load_taxonomy(folder)
    assert taxonomy.uris == ["u/bread", "u/flour"]
    bread = taxonomy["u/bread"]
    assert bread.name == "bake bread" and bread.kind == "skill/competence"
    assert bread.alt_names == ("bake loaves", "make bread", "loafing")
    assert bread.description == "Mix, knead, bake."
    assert bread.reuse_level == "sector-specific"
    assert taxonomy["u/flour"].name == "flour"
    assert taxonomy.siblings("u/bread") == ["u/flour"]
    assert taxonomy.ancestors("u/flour") == ["u/baking", "u/top"]
    assert taxonomy.groups["u/baking"].code == "S1.1"


def test_compact_file_holds_the_same(folder, tmp_path):
    taxonomy = load_taxonomy(folder)
    taxonomy.to_disk(tmp_path / "compact")
    assert load_taxonomy(tmp_path / "compact") == taxonomy


def test_another_language(folder):
    for name in ("skills_en.csv", "skillGroups_en.csv"):
        (folder / name).rename(folder / name.replace("_en", "_de"))
    assert load_taxonomy(folder, "de") == load_taxonomy(folder)


@pytest.mark.parametrize(
    "name,old,new,message",
    [
        (
            "skills_en.csv",
            "K,u/flour",
            "K,u/bread",
            r"S108.*skills_en.csv, row 5.*row 4",
        ),
        (
            "skills_en.csv",
            "preferredLabel,",
            "label,",
            "S107.*skills_en.csv.*preferred",
        ),
        ("skills_en.csv", "flour ,", " ,", "S109.*row 5.*u/flour"),
        (
            "skillGroups_en.csv",
            "SkillGroup,u/top",
            "SkillGroup,u/x",
            "S111.*row 5.*u/top",
        ),
        (
            "broaderRelationsSkillPillar.csv",
            "SkillGroup,u/baking,SkillGroup,u/top",
            "SkillGroup,u/baking,K,u/bread",
            "broaderRelations.*S103.*u/bread -> u/baking -> u/bread",
        ),
        (
            "broaderRelationsSkillPillar.csv",
            "u/flour,SkillGroup,u/baking",
            "u/flour,SkillGroup,u/nowhere",
            "S111.*broaderRelationsSkillPillar.csv, row 3.*u/nowhere",
        ),
    ],
)
def test_damage_is_named_with_its_place(folder, name, old, new, message):
    edit(folder, name, old, new)
    with pytest.raises(ValueError, match=message):
        load_taxonomy(folder)


def test_missing_file_is_named(folder):
    (folder / "skillGroups_en.csv").unlink()
    with pytest.raises(ValueError, match="S106.*skillGroups_en.csv"):
        load_taxonomy(folder)


def test_no_header_and_no_skills(folder):
    (folder / "skills_en.csv").write_text("", encoding="utf8")
    with pytest.raises(ValueError, match="S107"):
        load_taxonomy(folder)
    header = FILES["skills_en.csv"].split("\n")[0]
    (folder / "skills_en.csv").write_text(header, encoding="utf8")
    with pytest.raises(ValueError, match="S110"):
        load_taxonomy(folder)


def test_wrong_encoding_is_named(folder):
    (folder / "skills_en.csv").write_bytes(FILES["skills_en.csv"].encode("utf-16"))
    with pytest.raises(ValueError, match=r"S304.*skills_en.csv.*UTF-8"):
        load_taxonomy(folder)


def test_command_saves_and_reports(folder, tmp_path):
    output = tmp_path / "out" / "taxonomy.bin"
    result = CliRunner().invoke(skills_cli, ["taxonomy", str(folder), str(output)])
    assert result.exit_code == 0 and load_taxonomy(output) == load_taxonomy(folder)
    assert "Alternative names" in result.output


def test_command_fails_in_one_line(tmp_path):
    output = tmp_path / "taxonomy.bin"
    result = CliRunner().invoke(skills_cli, ["taxonomy", str(tmp_path), str(output)])
    assert result.exit_code == 1 and not output.exists()
    assert "S106" in result.output and "Traceback" not in result.output
