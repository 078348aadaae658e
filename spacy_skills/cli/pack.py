"""``python -m spacy skills pack``: a trained ranker in one small file."""

from pathlib import Path

from spacy.util import load_model
from typer import Argument
from wasabi import msg

from ..errors import Errors
from ..files import write_file
from ..matcher import SkillMatcher
from . import skills_cli
from .benchmark import find_component


@skills_cli.command("pack")
def pack_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    output: Path = Argument(..., dir_okay=False, help="File to write"),
):
    """Write the ranker of a pipeline and the names that its matcher knows to a small file,
    for `nlp.add_pipe("esco_skills", config={"pretrained": FILE})`."""
    # Brings torch, which takes a second to import.
    from ..compact import pack

    try:
        nlp = load_model(pipeline)
        _, ranker = find_component(nlp, pipeline)
        finders = [p.finder for _, p in nlp.pipeline if isinstance(p, SkillMatcher)]
        finder = ranker.finder or next(iter(finders), None)
        if finder is None:
            raise ValueError(Errors.S012.format(pipeline=pipeline))
        data = pack(ranker, finder)
        write_file(output, data)
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    msg.good(f"Packed {pipeline} into {output} ({len(data) / 1e6:.1f} MB)")
