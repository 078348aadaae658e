"""``python -m spacy skills taxonomy``: ESCO's CSVs, checked and in compact form."""

from pathlib import Path

from typer import Argument, Option
from wasabi import msg

from ..esco import load_taxonomy
from ..taxonomy import Taxonomy
from . import skills_cli


@skills_cli.command("taxonomy")
def taxonomy_cli(
    esco: Path = Argument(..., help="Folder of ESCO's CSVs, or a compact file"),
    output: Path = Argument(..., help="Where to save the compact file"),
    language: str = Option("en", help="Language of the CSVs, as in their names"),
):
    """Read and check ESCO's official CSVs, and save them in compact form."""
    try:
        taxonomy = load_taxonomy(esco, language)
        taxonomy.to_disk(output)
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    msg.table(summarise(taxonomy))
    msg.good(f"Saved to {output}")


def summarise(taxonomy: Taxonomy) -> dict[str, int]:
    """What the taxonomy holds, by kind."""
    return {
        "Skills": sum(skill.kind != "knowledge" for skill in taxonomy),
        "Knowledge": sum(skill.kind == "knowledge" for skill in taxonomy),
        "Alternative names": sum(len(skill.alt_names) for skill in taxonomy),
        "Groups": len(taxonomy.groups),
        "Broader links of skills": sum(len(skill.broader) for skill in taxonomy),
        "Skills without siblings": sum(not taxonomy.siblings(u) for u in taxonomy.uris),
    }
