"""What a comparison holds: set-ups, contenders, and the runs that follow from them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
from pydantic import BaseModel, ConfigDict, Field
from spacy.language import Language
from spacy.training import Example
from spacy.util import load_config, registry

from ..errors import Errors
from ..pairs import PairBatcher, shuffled
from ..sampler import MixedNegatives
from .training import Loss

CorpusReader = Callable[[Language], Iterable[Example]]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class SetUp(_Block):
    """names: start from names and prior (this package), or from nothing (the paper)."""

    names: bool
    epochs: int = Field(ge=1)
    skills_per_batch: int = Field(ge=1)
    learn_rates: list[float] = Field(min_length=1)
    negatives_per_positive: list[float] = Field(min_length=1)


class Contender(_Block):
    """What is compared: a sampler, with whatever else differs from the reference.

    weights: mixing ratios to choose from, if the sampler is a mix.
    set_ups: in which of them it takes part; all, if empty.
    """

    sampler: Any
    order: Any = None
    in_batch: bool = False
    corpus: str = "train"
    loss: Loss = "binary"
    weights: list[dict[str, float]] | None = None
    set_ups: list[str] = []


class Examples(_Block):
    """Skills by name, whose first n sentences of a file of ads are shown."""

    ads: Path
    text_field: str = "text"
    skills: list[str]
    n: int = Field(3, ge=1)


class Design(_Block):
    """A comparison's config; see configs/compare.cfg.

    sets: labelled sentences by name. tune_on: those the settings are chosen on, by the
    mean of their RP@5: the files of paths.validation. reference: the contender the others are paired with.
    """

    paths: dict[str, str | None]
    seeds: list[int] = Field(min_length=1)
    tuning_seed: int
    positives_per_skill: int = Field(ge=1)
    reference: str
    tune_on: list[str] = Field(min_length=1)
    corpora: dict[str, CorpusReader]
    sets: dict[str, Path]
    set_ups: dict[str, SetUp]
    contenders: dict[str, Contender]
    examples: Examples | None = None
    blocks: dict[str, str] = {}


@dataclass(frozen=True)
class Run:
    """One training run. weights: of a mix, by strategy, as sorted pairs."""

    set_up: str
    contender: str
    learn_rate: float
    negatives_per_positive: float
    weights: tuple[tuple[str, float], ...]
    seed: int

    @property
    def settings(self) -> str:
        """What was chosen for it, in words."""
        mix = ", ".join(f"{name} {weight:g}" for name, weight in self.weights)
        rate, ratio = self.learn_rate, self.negatives_per_positive
        return f"rate {rate:g}, {ratio:g} negatives" + (f"; {mix}" if mix else "")


def read_design(path: Path, overrides: dict[str, Any]) -> Design:
    """Raises ConfigValidationError or ValueError, saying what is wrong with the config."""
    config = load_config(path, overrides=overrides, interpolate=True)
    blocks = {
        name: srsly.json_dumps(
            {k: v for k, v in block.items() if k not in ("weights", "set_ups")},
            sort_keys=True,
        )
        for name, block in config["contenders"].items()
    }
    resolved = registry.resolve(config)
    further = resolved.pop("further", {})
    tune_on = _find_sets(Path(resolved["paths"]["validation"]))
    design = Design(
        **resolved.pop("compare"),
        **resolved,
        sets={**tune_on, **{name: p for name, p in further.items() if p}},
        tune_on=list(tune_on),
        blocks=blocks,
    )
    named = {design.reference} - set(design.contenders)
    for contender in design.contenders.values():
        named |= {contender.corpus} - set(design.corpora)
        named |= set(contender.set_ups) - set(design.set_ups)
    if named:
        raise ValueError(Errors.S601.format(path=path, names=", ".join(sorted(named))))
    return design


def _find_sets(path: Path) -> dict[str, Path]:
    """The labelled sentences of a file, or of a folder's CSV files, by name."""
    if not path.is_dir():
        return {path.stem: path}
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
    if not files:
        raise ValueError(Errors.S401.format(path=path))
    return {file.stem: file for file in files}


def quick(design: Design) -> Design:
    """The same with two seeds and one setting each, to see that everything runs."""
    set_ups = {
        name: set_up.model_copy(
            update={
                "epochs": 1,
                "learn_rates": set_up.learn_rates[:1],
                "negatives_per_positive": set_up.negatives_per_positive[:1],
            }
        )
        for name, set_up in design.set_ups.items()
    }
    contenders = {
        name: contender.model_copy(
            update={"weights": contender.weights and contender.weights[:1]}
        )
        for name, contender in design.contenders.items()
    }
    return design.model_copy(
        update={
            "seeds": design.seeds[:2],
            "set_ups": set_ups,
            "contenders": contenders,
        }
    )


def tuning_runs(design: Design) -> Iterator[Run]:
    """Every setting of every contender, with the tuning seed."""
    for set_up_name, set_up in design.set_ups.items():
        for name, contender in design.contenders.items():
            if contender.set_ups and set_up_name not in contender.set_ups:
                continue
            for weights in contender.weights or [{}]:
                for negatives in set_up.negatives_per_positive:
                    for rate in set_up.learn_rates:
                        yield Run(
                            set_up_name,
                            name,
                            rate,
                            negatives,
                            tuple(sorted(weights.items())),
                            design.tuning_seed,
                        )


def make_pairs(design: Design, run: Run) -> PairBatcher:
    """The batches of a run, as its settings would make them in [training.batcher]."""
    contender = design.contenders[run.contender]
    sampler = contender.sampler
    if run.weights:
        if not isinstance(sampler, MixedNegatives):
            raise ValueError(Errors.S602.format(name=run.contender))
        sampler = MixedNegatives(sampler.strategies, dict(run.weights))
    return PairBatcher(
        sampler,
        order=contender.order or shuffled,
        skills_per_batch=design.set_ups[run.set_up].skills_per_batch,
        positives_per_skill=design.positives_per_skill,
        negatives_per_positive=run.negatives_per_positive,
        in_batch=contender.in_batch,
        seed=run.seed,
    )
