"""The comparison of strategies: its parts against the pipeline's own, and the command."""

from pathlib import Path

import numpy
import pytest
from conftest import SKILLS, uri
from numpy.testing import assert_allclose
from spacy.util import registry
from thinc.api import Adam
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.compare.data import encode_examples
from spacy_skills.compare.design import read_design, tuning_runs
from spacy_skills.compare.experiment import choose_settings, final_runs
from spacy_skills.compare.report import find
from spacy_skills.compare.results import Results
from spacy_skills.compare.training import Skills, evaluate, start_model, train
from spacy_skills.pairs import PairBatcher
from spacy_skills.sampler import RandomNegatives
from spacy_skills.scorer import sentence_scores

CONFIG = Path(__file__).parent.parent / "configs" / "compare.cfg"
FRAMES = ["we {} here, and clean", "you should {} all day", "they {} or rest at noon"]


def examples(nlp, make_example):
    return [
        make_example(nlp, frame.format(name), [key])
        for key, (name, _, _) in SKILLS.items()
        for frame in FRAMES
    ]


def test_training_on_vectors_is_the_component_s_own(make_nlp, make_example):
    """The same batches through spaCy's batcher and update() give the same weights."""
    nlp = make_nlp(labels={uri("bread"): 9})
    ranker = nlp.get_pipe("esco_skills")
    skills = Skills.of(ranker)
    data = encode_examples(nlp, ranker, examples(nlp, make_example), "test")
    model = start_model(skills, data.pool, True)
    settings = {"skills_per_batch": 3, "negatives_per_positive": 2.0, "seed": 5}
    pairs = PairBatcher(RandomNegatives(), **settings)
    train(model, skills, data, pairs, learn_rate=0.01, epochs=2)

    batcher = registry.batchers.get("spacy_skills.negative_sampling.v1")(
        RandomNegatives(), **settings
    )
    sgd = Adam(0.01, L2=0.0, grad_clip=1.0)
    for _ in range(2):
        for batch in batcher(examples(nlp, make_example)):
            ranker.update(batch, sgd=sgd)
    for ours, theirs in zip(model.layers[1:], ranker.model.layers[1:], strict=True):
        for name in ours.param_names:
            assert_allclose(ours.get_param(name), theirs.get_param(name), atol=1e-4)
    assert abs(model.layers[1].get_param("W")).max() > 0.01


def test_scores_are_those_of_the_pipeline(make_nlp, make_example):
    labels = {uri("bread"): 9, uri("sql"): 2}
    nlp = make_nlp(labels=labels, model={"encoder": {"int8": False}})
    ranker = nlp.get_pipe("esco_skills")
    skills = Skills.of(ranker)
    data = encode_examples(nlp, ranker, examples(nlp, make_example), "test")
    found = evaluate(start_model(skills, data.pool, True), skills, data)
    assert any(data.literal) and found.shape == (33, 4)
    for row, text in enumerate(data.pool.texts):
        ((_, logits),) = ranker.rank([nlp(text)])
        gold = {ranker.taxonomy.index(skill) for skill in data.pool.skills[row]}
        assert_allclose(found[row], sentence_scores(gold, logits))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture
def arguments(make_nlp, taxonomy_path, tiny_encoder, folder):
    """The arguments of a small comparison with the repository's config."""
    if not (folder / "compare.cfg").exists():
        make_nlp(labels={uri("bread"): 9}).to_disk(folder / "untrained")
        lines = [f.format(name) for name, *_ in SKILLS.values() for f in FRAMES]
        ads = folder / "ads.tsv"
        ads.write_text("\n".join(["text", *lines, *["no skill in this one"]]))
        command = ["corpus", str(ads), str(taxonomy_path), str(folder / "distant")]
        options = ["--n-process", "1", "--dev-share", "0.2", "--unlabelled-share", "1"]
        result = CliRunner().invoke(skills_cli, [*command, *options])
        assert result.exit_code == 0, result.output
        command = [
            "convert",
            str(folder / "distant/dev"),
            str(folder / "heldout.spacy"),
        ]
        assert CliRunner().invoke(skills_cli, command).exit_code == 0
        (folder / "sets").mkdir()
        for name, keys in (("one", ["bread", "sql"]), ("two", ["wires", "truck"])):
            rows = [f"please do {SKILLS[k][0].lower()},{SKILLS[k][0]}" for k in keys]
            text = "\n".join(["sentence,label", *rows])
            (folder / "sets" / f"{name}.csv").write_text(text)
        text = CONFIG.read_text(encoding="utf8")
        bundled = '[contenders.cosine.sampler.encoder.name]\n@misc = "spacy_skills.bundled_minilm.v1"\n'
        assert text.count(bundled) == 1
        cosine = '@architectures = "spacy_skills.TransformerEncoder.v1"\n'
        text = text.replace(bundled, "").replace(
            cosine, f'{cosine}name = "{tiny_encoder}"\n'
        )
        (folder / "compare.cfg").write_text(text)
    settings = {
        "paths.pipeline": folder / "untrained",
        "paths.taxonomy": taxonomy_path,
        "paths.train": folder / "distant/train",
        "paths.unlabelled": folder / "distant/unlabelled",
        "paths.uncleaned": folder / "distant/train",
        "paths.validation": folder / "sets",
        "paths.cache": folder / "cache",
        "further.heldout": folder / "heldout.spacy",
        "examples.ads": folder / "ads.tsv",
        "examples.skills": '["bake bread", "no such skill"]',
    }
    options = [part for k, v in settings.items() for part in (f"--{k}", str(v))]
    return [str(folder / "compare.cfg"), options]


def compare(arguments, output, *more, config=None):
    config, options = config or arguments[0], arguments[1]
    command = ["compare", config, str(output), "--quick", *more, *options]
    return CliRunner().invoke(skills_cli, command)


NAMES = ["tables.md", "examples.md", "settings.json", "comparison.png"]


def test_the_command_compares_and_goes_on_after_an_interruption(arguments, folder):
    output = folder / "first"
    result = compare(arguments, output, "--n-process", "2")
    assert result.exit_code == 0, (result.output, result.exception)
    made = {name: (output / name).read_bytes() for name in NAMES}
    tables = made["tables.md"].decode()
    for contender in read_design(Path(arguments[0]), {}).contenders:
        assert f"| {contender} |" in tables
    assert "| untrained |" in tables and "## paper" in tables
    assert "no such skill" not in made["examples.md"].decode()
    shown = made["examples.md"].decode()
    # First come sentences that do not name the skill.
    assert "## bake bread" in shown and "bake pastry" in shown
    assert "we bake bread here" not in shown
    assert made["comparison.png"].startswith(b"\x89PNG")
    # Killed while it wrote: half a line at the end, and the runs before it missing.
    results = output / "results.jsonl"
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join(lines[:-9]) + lines[-9][:50])
    assert compare(arguments, output, "--n-process", "1").exit_code == 0
    again = results.read_bytes().splitlines(keepends=True)
    assert again[:-9] == lines[:-9] and len(again) == len(lines)
    for name in NAMES:
        assert (output / name).read_bytes() == made[name], name
    # Nothing is left to do, and nothing is written twice.
    assert compare(arguments, output).exit_code == 0
    assert results.read_bytes() == b"".join(again)


def test_other_things_than_negatives_are_compared_too(arguments, folder):
    config = CONFIG.with_name("factors.cfg")
    # It has no examples.
    first = next(i for i, o in enumerate(arguments[1]) if o.startswith("--examples"))
    options = [arguments[0], arguments[1][:first]]
    result = compare(options, folder / "factors", config=str(config))
    assert result.exit_code == 0, (result.output, result.exception)
    tables = (folder / "factors" / "tables.md").read_text()
    for contender in read_design(config, {}).contenders:
        assert f"| {contender} |" in tables
    runs = (folder / "factors" / "results.jsonl").read_bytes()
    # One tuning run each, two seeds, and the untrained ranker.
    n_contenders = len(read_design(config, {}).contenders)
    assert runs.count(b"\n") == 3 * n_contenders + 1


@pytest.mark.parametrize(
    "line",
    [
        b'{"no key": 1, "scores": {}}',
        b'{"key": "b"}',
        b'{"key": "b", "scores": {"house": [[1, 2]]}}',
        b'{"key": ' * 10**5,
    ],
)
def test_a_damaged_result_is_named(arguments, folder, line):
    output = folder / "damaged"
    output.mkdir(exist_ok=True)
    first = b'{"key": "a", "scores": {}}'
    (output / "results.jsonl").write_bytes(b"\n".join([first, line, b""]))
    result = compare(arguments, output)
    assert result.exit_code == 1
    assert "S604" in result.output and "line 2" in result.output


@pytest.mark.parametrize(
    "change",
    [
        ("--compare.reference", "nobody"),
        ("--contenders.random.corpus", "nowhere"),
        ("--contenders.topics.set_ups", '["nothing"]'),
    ],
)
def test_names_that_nothing_defines_are_refused(arguments, folder, change):
    result = compare(arguments, folder / "refused", *change)
    assert result.exit_code == 1 and "S601" in result.output
    assert not (folder / "refused").exists()


def test_weights_want_a_mix(arguments, folder):
    change = ("--contenders.random.weights", '[{"a": 1}]')
    result = compare(arguments, folder / "refused", "--n-process", "1", *change)
    assert result.exit_code == 1 and "S602" in result.output


@pytest.fixture
def outcome(arguments, tmp_path):
    """Two contenders with made-up scores: rate 3 is best for both, and for siblings only
    as good as rate 4, which comes later."""
    design = read_design(Path(arguments[0]), {})
    keep = {name: design.contenders[name] for name in ("random", "siblings")}
    for contender in keep.values():
        contender.set_ups = ["package"]
    set_up = design.set_ups["package"].model_copy(
        update={"learn_rates": [1.0, 3.0, 4.0], "negatives_per_positive": [2.0]}
    )
    sets = {"one": Path(), "two": Path(), "heldout": Path()}
    design = design.model_copy(
        update={
            "contenders": keep,
            "seeds": [7, 8],
            "set_ups": {"package": set_up},
            "sets": sets,
            "tune_on": ["one", "two"],
        }
    )
    names = [*keep, "untrained"]
    results = Results(tmp_path / "r.jsonl", {("package", n): n for n in names})
    for run in tuning_runs(design):
        good = run.learn_rate == 3 or (run.contender, run.learn_rate) == ("siblings", 4)
        values = numpy.full((3, 4), 0.9 if good else 0.1)
        results.add(run, {"one": values, "two": values})
    runs = final_runs(design, choose_settings(design, results))
    rng = numpy.random.default_rng(0)
    for group in runs.values():
        for run in group:
            sizes = {"one": 40, "two": 60, "heldout": 500}
            results.add(run, {n: rng.random((k, 4)) for n, k in sizes.items()})
    return design, results, runs


def test_settings_are_chosen_on_the_tuning_runs(outcome):
    _, _, runs = outcome
    assert {run.learn_rate for run in runs["package", "random"]} == {3.0}
    assert {run.learn_rate for run in runs["package", "siblings"]} == {3.0}
    assert [run.seed for run in runs["package", "siblings"]] == [7, 8]
    assert len(runs["package", "untrained"]) == 1


def test_differences_are_paired_and_their_intervals_right(outcome):
    design, results, runs = outcome
    finding = next(f for f in find(design, results, runs) if f.contender == "siblings")
    theirs, ours = (
        [results.scores(run) for run in runs["package", name]]
        for name in ("random", "siblings")
    )
    gains = {}
    for name in ("one", "two", "heldout"):
        pairs = zip(ours, theirs)
        gains[name] = 100 * numpy.mean([a[name] - b[name] for a, b in pairs], axis=0)
        rp5 = gains[name][:, 2]
        found = finding.differences[name]
        assert found.mean == pytest.approx(rp5.mean())
        # For means of this many, the bootstrap is close to the normal interval.
        error = rp5.std() / len(rp5) ** 0.5
        assert found.low == pytest.approx(rp5.mean() - 1.96 * error, abs=0.2 * error)
        assert found.high == pytest.approx(rp5.mean() + 1.96 * error, abs=0.2 * error)
    both = finding.differences["mean of one, two"]
    parts = [gains["one"][:, 2], gains["two"][:, 2]]
    assert both.mean == pytest.approx(numpy.mean([p.mean() for p in parts]))
    error = (sum(p.var() / len(p) for p in parts) / 4) ** 0.5
    assert both.low == pytest.approx(both.mean - 1.96 * error, abs=0.2 * error)
    seeds = [50 * (s["one"][:, 2].mean() + s["two"][:, 2].mean()) for s in ours]
    assert finding.spread == pytest.approx((min(seeds), max(seeds)))


def test_results_survive_only_for_the_same_settings(outcome, tmp_path):
    _, results, runs = outcome
    (run, *_) = runs["package", "random"]
    assert results.get(run) is not None
    digests = {("package", "random"): "other", ("package", "siblings"): "siblings"}
    other = Results(results.path, digests)
    assert other.get(run) is None
    assert other.get(runs["package", "siblings"][0]) is not None
