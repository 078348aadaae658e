"""``python -m spacy skills encoder``: trains a sentence encoder on texts of skills."""

from pathlib import Path

from typer import Argument, Option
from wasabi import msg

from ..esco import load_taxonomy
from ..texts import read_skill_texts, text_rows
from . import skills_cli


@skills_cli.command("encoder")
def encoder_cli(
    taxonomy: Path = Argument(..., help="Folder of ESCO's CSVs, or a file made of it"),
    texts: list[Path] = Argument(..., help="Files of texts: .tsv or .tsv.gz"),
    output: Path = Option(..., "--output", "-o", help="Folder for the encoder"),
    base: str | None = Option(
        None, help="Folder or hub name to start from [all-MiniLM-L6-v2]"
    ),
    epochs: float = Option(1.0, min=0.0, help="How often each text is met"),
    batch_size: int = Option(128, min=2, help="Texts in a step"),
    learn_rate: float = Option(3e-5, min=0.0, help="The highest learning rate"),
    hard_negatives: int = Option(1, min=0, help="Near skills set against each text"),
    share: float = Option(
        0.5, min=0.0, max=1.0, help="Share of the trained weights in the average"
    ),
    seed: int = Option(0, help="Order of the texts, choice of negatives, dropout"),
    use_gpu: int = Option(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
) -> None:
    """Train a sentence encoder on texts that ask for a skill (columns uri, skill, text).

    Run it again after an interruption: it goes on from the last checkpoint.
    """
    # Brings the transformers library, which costs seconds to import.
    from ..contrastive import Settings, train_encoder
    from ..encoder import bundled_minilm

    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        learn_rate=learn_rate,
        hard_negatives=hard_negatives,
        share=share,
        seed=seed,
    )
    try:
        skills = load_taxonomy(taxonomy)
        pairs = text_rows(read_skill_texts(texts), skills)
        msg.info(f"{len(pairs):,} texts of skills of the taxonomy")
        train_encoder(
            base or bundled_minilm(),
            skills,
            pairs,
            output,
            settings,
            device="cpu" if use_gpu < 0 else f"cuda:{use_gpu}",
        )
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    except KeyboardInterrupt:
        message = "Interrupted; the same command goes on from the last checkpoint"
        msg.fail(message, exits=1)
    msg.good(f"Saved the encoder to {output}")
