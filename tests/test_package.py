"""What the installed distribution offers to spaCy."""

import re
import subprocess
import sys
from importlib.metadata import distribution

import pytest
import spacy
from spacy.language import Language
from spacy.util import registry

ENTRY_POINTS = [
    point
    for point in distribution("spacy-skills").entry_points
    if point.group.startswith("spacy_")
]


@pytest.mark.parametrize("point", ENTRY_POINTS, ids=lambda point: point.name)
def test_every_registered_name_loads(point):
    loaded = point.load()
    if point.group == "spacy_factories":
        assert Language.has_factory(point.name)
        assert Language.get_factory_meta(point.name).assigns
    elif point.group == "spacy_cli":
        assert loaded.registered_commands
    else:
        assert re.fullmatch(r"spacy_skills\.\w+\.v\d+", point.name)
        kind = point.group.removeprefix("spacy_")
        assert getattr(registry, kind).get(point.name) is not None


def test_every_kind_of_part_is_there():
    groups = {point.group for point in ENTRY_POINTS}
    kinds = "factories readers scorers architectures batchers misc cli".split()
    assert groups == {f"spacy_{kind}" for kind in kinds}


def test_importing_the_package_imports_nothing_else():
    code = "import sys, spacy_skills; print([m for m in sys.modules if m in %r])"
    heavy = ["torch", "spacy", "transformers", "numpy"]
    result = subprocess.run(
        [sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_version_is_the_distribution_s():
    assert (
        distribution("spacy-skills").version == __import__("spacy_skills").__version__
    )
    assert spacy.__version__.startswith("3.")
