"""``python -m spacy skills negatives``: what a training config's strategy would draw."""

from itertools import permutations
from pathlib import Path

import numpy
import spacy
import typer
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config, registry
from typer import Argument, Option
from wasabi import msg

from ..batcher import make_pool
from ..errors import Errors
from ..esco import load_taxonomy
from ..sampler import NegativeSampler, SentencePool
from ..taxonomy import Taxonomy
from . import skills_cli

SHOWN = 20
# wasabi cuts cells at 30 characters otherwise.
MAX_COLUMN = 60


@skills_cli.command(
    "negatives",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def negatives_cli(
    context: typer.Context,
    config: Path = Argument(
        ..., help="Training config with [training.batcher.sampler]"
    ),
    skill: list[str] = Option([], "--skill", help="Preferred name or URI; repeatable"),
):
    """Report what the sampler of a config draws from, and what it skips and why.

    Any setting can be overridden: --paths.taxonomy corpus/taxonomy.bin.
    """
    try:
        overrides = parse_config_overrides(context.args)
        filled = load_config(config, overrides=overrides, interpolate=True)
        try:
            block = {
                "sampler": filled["training"]["batcher"]["sampler"],
                "corpus": filled["corpora"]["train"],
            }
        except KeyError as err:
            raise ValueError(Errors.S507.format(path=config, key=err)) from err
        resolved = registry.resolve(block)
        taxonomy = load_taxonomy(filled["paths"]["taxonomy"])
        nlp = spacy.blank(filled["nlp"]["lang"])
        examples = list(resolved["corpus"](nlp))
        pool = make_pool(examples, "esco_skills")
        sampler = resolved["sampler"]
        _print_report(sampler, pool, len(taxonomy))
        for name in skill:
            _print_neighbours(sampler, pool, taxonomy, name)
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)


def _print_report(sampler: NegativeSampler, pool: SentencePool, n_skills: int) -> None:
    # First: a strategy that mines has no neighbours before it has read the pool.
    skipped = sampler.skipped(pool)
    numbers = [len(sampler.neighbours(skill)) for skill in pool.rows]
    without = sum(not number for number in numbers)
    together = _share_neighbours(sampler, pool, n_skills)
    msg.table(
        [
            ("Sentences", f"{len(pool.skills):,}"),
            ("  that name no skill", f"{len(pool.unlabelled):,}"),
            ("Skills with a sentence", f"{len(pool.rows):,} of {n_skills:,}"),
            ("  without neighbours: negatives are random", f"{without:,}"),
            ("Neighbours of such a skill, median", f"{numpy.median(numbers):g}"),
            ("Neighbours among the skills of one sentence", together),
            *((f"Skipped: {why}", f"{n:,}") for why, n in sorted(skipped.items())),
        ],
        aligns=("l", "r"),
        max_col=MAX_COLUMN,
    )


def _share_neighbours(
    sampler: NegativeSampler, pool: SentencePool, n_skills: int
) -> str:
    """How often skills of the same sentence are neighbours, which is how often a
    neighbour's sentence would be a false negative but for its labels."""
    near: dict[str, set[str]] = {s: set(sampler.neighbours(s)) for s in pool.rows}
    pairs = [pair for skills in pool.skills for pair in permutations(sorted(skills), 2)]
    by_chance = sum(len(near[skill]) for skill, _ in pairs) / n_skills
    if not by_chance:
        return "none"
    found = sum(other in near[skill] for skill, other in pairs)
    return f"{found / len(pairs):.1%}, {found / by_chance:.0f} times chance"


def _print_neighbours(
    sampler: NegativeSampler, pool: SentencePool, taxonomy: Taxonomy, name: str
) -> None:
    uri = name if name in taxonomy else taxonomy.find(name)
    if uri is None:
        raise ValueError(Errors.S506.format(name=name))
    neighbours = sampler.neighbours(uri)
    msg.divider(taxonomy[uri].name)
    if not neighbours:
        msg.text("No neighbours: negatives are random")
        return
    rows = [(taxonomy[n].name, f"{len(pool.rows.get(n, ())):,}") for n in neighbours]
    header = ("Neighbour", "Sentences")
    msg.table(rows[:SHOWN], header=header, divider=True, max_col=MAX_COLUMN)
    if len(rows) > SHOWN:
        msg.text(f"and {len(rows) - SHOWN} more")
