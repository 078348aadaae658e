"""``python -m spacy skills tune``: tunes a ranker's encoder on judged spans."""

from pathlib import Path

import spacy
from typer import Argument, Option
from wasabi import msg

from ..ads import read_ads
from ..judged import read_judged
from ..texts import read_skill_texts, text_rows
from . import skills_cli
from .benchmark import find_component


@skills_cli.command("tune")
def tune_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    judged: Path = Argument(..., help="Spans and their judged skills: .jsonl(.gz)"),
    texts: list[Path] = Argument(..., help="Files of texts: .tsv or .tsv.gz"),
    output: Path = Option(..., "--output", "-o", help="Folder for the tuned pipeline"),
    ads: Path | None = Option(
        None, help="File or folder of ads, for spans that name a digest"
    ),
    text_field: str = Option("text", help="Field or column that holds the ads' text"),
    steps: int = Option(600, min=1, help="Training steps"),
    learn_rate: float = Option(5e-5, min=0.0, help="The highest learning rate"),
    share: float = Option(
        0.6, min=0.0, max=1.0, help="Share of the trained weights in the average"
    ),
    seed: int = Option(0, help="Order of spans and texts, dropout"),
    use_gpu: int = Option(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
) -> None:
    """Tune the encoder of a ranker on spans whose skills somebody has judged, beside texts
    that ask for a skill.

    Run it again after an interruption: it goes on from the last checkpoint.
    """
    # Brings the transformers library, which costs seconds to import.
    from ..tuning import Settings, tune_encoder

    settings = Settings(steps=steps, learn_rate=learn_rate, share=share, seed=seed)
    try:
        nlp = spacy.load(pipeline)
        _, ranker = find_component(nlp, pipeline)
        corpus = () if ads is None else read_ads(ads, text_field=text_field)
        spans, missing = read_judged(judged, (ad.text for ad in corpus))
        if missing:
            msg.warn(f"Left out: {len(missing):,} texts that are not among the ads")
        pairs = text_rows(read_skill_texts(texts), ranker.taxonomy)
        used = sum(bool(s.chosen and s.rejected) for s in spans)
        msg.info(f"{len(spans):,} judged spans, {used:,} of them with a choice")
        msg.info(f"{len(pairs):,} written texts of skills of the pipeline")
        device = "cpu" if use_gpu < 0 else f"cuda:{use_gpu}"
        tune_encoder(
            ranker,
            spans,
            pairs,
            output,
            lambda: nlp.to_disk(output),
            settings,
            device=device,
        )
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    except KeyboardInterrupt:
        message = "Interrupted; the same command goes on from the last checkpoint"
        msg.fail(message, exits=1)
    msg.good(f"Saved the pipeline to {output}")
