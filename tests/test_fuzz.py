"""A small, fixed share of the fuzz run (tests/fuzz): no damaged file surprises a reader."""

import os
import signal

import pytest
from fuzz.fuzz_readers import fuzz
from fuzz.targets import make_targets

SLOW = {"model", "ranker", "spanner", "saved ranker", "checkpoint", "corpus progress"}


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return make_targets(tmp_path_factory.mktemp("fuzz"))


def test_damaged_files_are_read_or_refused_by_name(targets):
    for name, target in targets.items():
        result = fuzz(name, target, 25 if name in SLOW else 200, seed=1)
        assert result.findings == [], name
        assert result.named_errors + result.accepted == result.inputs
        # It is damage, but not so much that nothing is left; of the slow ones few inputs are read.
        if name in SLOW:
            target.read(target.seeds[0], 0)
        else:
            assert result.accepted, name
        assert result.named_errors or name == "markup", name


def test_what_a_reader_does_wrong_is_found(targets, tmp_path):
    target = targets["judged"]

    def crash(data, number):
        if number == 3:
            raise KeyError("x")
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    broken = type(target)(crash, target.seeds)
    result = fuzz("broken", broken, 8)
    assert [number for number, _ in result.findings] == [3, 5]
    assert "KeyError" in result.findings[0][1] and "crash" in result.findings[1][1]
    assert (result.inputs, result.accepted) == (8, 6)
