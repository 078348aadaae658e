"""The ads of a file of `spacy skills extract` through esco-skill-extractor too, as docs/side_by_side.md
shows them. That tool needs an environment of its own, so there are two steps:

    python examples/side_by_side.py run skills.jsonl other.json all-MiniLM-L6-v2
    python examples/side_by_side.py table skills.jsonl other.json table.md
"""

import json
import sys
from pathlib import Path


def run(skills: Path, other: Path, model: str) -> None:
    """Where esco-skill-extractor is installed: the URIs it finds, by ad."""
    from esco_skill_extractor import SkillExtractor

    ads = [json.loads(line) for line in skills.read_text(encoding="utf8").splitlines()]
    found = SkillExtractor(model=model).get_skills([ad["text"] for ad in ads])
    uris = {ad["source"]: list(of_ad) for ad, of_ad in zip(ads, found)}
    other.write_text(json.dumps(uris, indent=1), encoding="utf8")


def table(skills: Path, other: Path, output: Path) -> None:
    """Where spacy-skills is installed: both findings by name, as a Markdown table."""
    from spacy_skills.compact import read_compact
    from spacy_skills.extraction import read_records
    from spacy_skills.taxonomy import Taxonomy

    taxonomy = Taxonomy.from_bytes(read_compact("esco-1.1.1-en")["taxonomy"])
    theirs = json.loads(other.read_text(encoding="utf8"))
    lines = ["| ad | esco-skill-extractor | spacy-skills |", "|---|---|---|"]
    for record in read_records(skills):
        ad = Path(record["source"].rpartition(":")[0]).name
        found = [
            taxonomy[uri].name for uri in theirs[record["source"]] if uri in taxonomy
        ]
        ours = [f"{skill['name']} {skill['score']:.2f}" for skill in record["skills"]]
        lines.append(f"| {ad} | {'; '.join(sorted(found))} | {'; '.join(ours)} |")
    output.write_text("\n".join(lines) + "\n", encoding="utf8")


if __name__ == "__main__":
    step, skills, other, last = sys.argv[1:]
    if step == "run":
        run(Path(skills), Path(other), last)
    else:
        table(Path(skills), Path(other), Path(last))
