"""Three tasks with job ads and ESCO skills. Run it from the repository's root, as a whole or cell
by cell: python examples/tasks.py"""

# %% The pipeline that comes with the package
from collections import Counter
from pathlib import Path

import spacy

from spacy_skills.ads import read_ads
from spacy_skills.extraction import extract_skills

FOLDER = Path("examples")

nlp = spacy.blank("en")
ranker = nlp.add_pipe("esco_skills", config={"threshold": 0.4})

# %% 1. Which skills does an ad ask for?
# ``extract_skills`` takes the markup away; a text of your own goes through ``nlp`` as it is.
(ad,) = extract_skills(
    nlp, read_ads(FOLDER / "ads" / "data_analyst.md"), on_error=print
)
print("The data analyst's ad asks for")
for skill in ad["skills"][:12]:
    words = ", ".join(evidence["text"] for evidence in skill["evidence"])
    print(f"  {skill['score']:.2f}  {skill['name']}  ({skill['type']}): {words}")

# %% 2. What do the ads of a corpus ask for?
skills_of = {}
demand: Counter[str] = Counter()
groups: Counter[str] = Counter()
for record in extract_skills(nlp, read_ads(FOLDER / "ads"), on_error=print):
    skills_of[Path(record["source"]).stem] = record["skills"]
    demand.update(skill["name"] for skill in record["skills"])
    groups.update(
        group["name"]
        for skill in record["skills"]
        for group in skill["groups"]
        if group["level"] == 1
    )
print(f"\n{len(skills_of)} ads. Most of them want")
for name, n in demand.most_common(5):
    print(f"  {n:2}  {name}")
print("or, by group,")
for name, n in groups.most_common(5):
    print(f"  {n:2}  {name}")

# %% 3. What does an ad ask for that a CV doesn't show?
# A skill counts as shown if the CV has it, or one directly above or below it in ESCO.
cv = nlp((FOLDER / "cv.txt").read_text(encoding="utf8"))
taxonomy = ranker.taxonomy
shown = {skill["uri"] for skill in cv._.skills}
near = {
    uri
    for skill in shown
    for uri in (*taxonomy.broader(skill), *taxonomy.narrower(skill))
}
print("\nThe data analyst's ad and the CV")
for skill in ad["skills"][:12]:
    if skill["uri"] in shown:
        verdict = "shown"
    elif skill["uri"] in near:
        verdict = "close"
    else:
        verdict = "missing"
    print(f"  {verdict:8}{skill['name']}")
