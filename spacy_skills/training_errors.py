"""Messages to users about negative sampling and training, S501 to S799; see ``errors``."""

from spacy.errors import ErrorsWithCodes


class TrainingErrors(metaclass=ErrorsWithCodes):
    # negative sampling
    S501 = "The table of neighbours {path} is damaged: {reason}. Delete it to have it made again."
    S502 = (
        "The skill {uri} of a training sentence is not in the sampler's taxonomy. Build the "
        "corpus with the taxonomy that [training.batcher.sampler] names."
    )
    S503 = (
        "'spacy_skills.mixed_negatives.v1' mixes {names}, but the weights are {weights}. Give "
        "each strategy a weight of at least 0, and one of them more."
    )
    S504 = (
        "Can't mine negatives: there is no pipeline {path}. Train one with other negatives "
        "first (`spacy train` with spacy_skills.random_negatives.v1)."
    )
    S505 = (
        "'spacy_skills.cosine_negatives.v1' encodes names by themselves, which a listener "
        "can't. Name a 'spacy_skills.TransformerEncoder.v1' as its encoder."
    )
    S506 = (
        "The taxonomy has no skill '{name}'. Give a preferred name, or the skill's URI."
    )
    S507 = (
        "{path} is no config for training with sampled negatives: it lacks {key}. Name a "
        "config such as configs/frozen.cfg, with [corpora.train] and "
        "[training.batcher.sampler]."
    )
    # comparison of training set-ups
    S601 = (
        "{path} names what it does not define: {names}. Add the block ([contenders.…], "
        "[corpora.…] or [set_ups.…]), or correct the name."
    )
    S602 = (
        "The contender '{name}' has weights, but its sampler is no "
        "'spacy_skills.mixed_negatives.v1'."
    )
    S603 = (
        "{path} holds results of another comparison: {changed} changed. Choose another "
        "output folder, or pass --overwrite."
    )
    S604 = "{path}, line {line}, is damaged: {reason}. Delete the line; its run is repeated."
    S605 = (
        "A process of the comparison was stopped, perhaps for want of memory. Run it again "
        "to go on with the runs that are left, with fewer processes (--n-process)."
    )
    # texts of skills and the training of the encoder
    S701 = "There is no file {path} with texts of skills. Check the path."
    S702 = (
        "{path} has the columns {found}. A file of skills' texts has the columns uri, skill "
        "and text, separated by tabs."
    )
    S703 = (
        "{path}, line {line}, is no text of a skill: a line has a skill's URI, its name and "
        "a text, separated by tabs. Correct or delete the line."
    )
    S704 = (
        "There are {n} texts of skills of the taxonomy, fewer than a batch of {size}. Give "
        "more texts, or set --batch-size."
    )
    S705 = (
        "{path} is the checkpoint of a run with other texts or settings. Choose another "
        "output folder, or delete the checkpoint to begin anew."
    )
    S706 = "There is no file {path} with judged spans. Check the path."
    S707 = (
        'Can\'t read {path}, line {line}: {reason}. The first line is {{"skills": [URI, …]}}, '
        "each further one a span with sentence or digest, start, end, chosen and rejected."
    )
    S708 = (
        "There is no judged span to be had from {path}. Texts it gives by digest: {n}. Each has "
        "to be one whole ad of --ads, in the field that --text-field names."
    )
    S709 = (
        "Only a ranker with a 'spacy_skills.TransformerEncoder.v1' and classifiers of names "
        "that have not been trained can be tuned. Assemble one with configs/pretrained.cfg."
    )
    S710 = (
        "There are {n} judged spans with chosen and rejected skills, and {texts} written texts, "
        "of skills of the pipeline: give at least one of each, of the same taxonomy."
    )
    S711 = "The checkpoint {path} is damaged: {reason}. Delete it to begin anew."
    S712 = (
        "There is no GPU for '{device}'. Use --gpu-id -1, or install torch with CUDA."
    )
