"""Throws damaged files at every reader of the package.

A reader passes if it returns, or raises an error of the package: a ValueError with its code, or
an OSError for what is missing. Any other exception, a crash, and a time or a growth of memory beyond the bounds is a finding. Inputs
depend on the seed, the reader's name and their number alone:

    python tests/fuzz/fuzz_readers.py --inputs 100000 --output fuzz
    python tests/fuzz/fuzz_readers.py --reader ranker --start 4711 --inputs 1 --output fuzz
"""

import argparse
import json
import mmap
import multiprocessing
import os
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.targets import Target, make_targets  # noqa: E402

# Seconds of the processor for an input, and until a process that says nothing is stopped.
SLOW, STUCK = 2.0, 60.0
# Bytes by which an input of some kilobytes may raise the peak of memory, and at which it fails.
GROWTH, MEMORY = 2**28, 2**32
CODE = re.compile(r"\[S\d{3}\]")
# Number of the input that is being read, and counts so far.
STATE = struct.Struct("qqq")


@dataclass
class Result:
    """Of a reader; findings: the input's number and what happened."""

    reader: str
    inputs: int = 0
    accepted: int = 0
    named_errors: int = 0
    per_second: float = 0.0
    findings: list[tuple[int, str]] = field(default_factory=list)


def make_input(target: Target, name: str, seed: int, number: int) -> bytes:
    return target.damaged(Random(f"{seed} {name} {number}"))


def try_input(target: Target, data: bytes, number: int) -> tuple[bool, str | None]:
    """Whether the reader accepts it, and if it doesn't pass, why."""
    used, peak = time.process_time(), _peak()
    accepted, finding = True, None
    try:
        target.read(data, number)
    except BaseException as err:
        # Libraries written in Rust panic with one that is no Exception.
        accepted = False
        if not isinstance(err, ValueError | OSError) or not CODE.search(str(err)):
            finding = "".join(traceback.format_exception(err)[-6:])
    used = time.process_time() - used
    if used > SLOW:
        finding = f"took {used:.1f} s"
    elif _peak() - peak > GROWTH:
        finding = f"took {(_peak() - peak) / 2**20:.0f} MiB"
    return accepted, finding


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(
    name: str,
    target: Target,
    inputs: int,
    *,
    seed: int = 0,
    start: int = 0,
    seconds: float = float("inf"),
    progress: "tqdm | None" = None,
) -> Result:
    """Read the inputs in a process of their own; if one of them ends it, the next goes on."""
    result = Result(name)
    state = mmap.mmap(-1, STATE.size)
    state[:] = STATE.pack(start, 0, 0)
    began = time.monotonic()
    end = start + inputs
    with tempfile.TemporaryFile("w+") as found:
        while (number := STATE.unpack(state[:])[0]) < end:
            left = seconds - (time.monotonic() - began)
            if left <= 0:
                break
            child = os.fork()
            if not child:
                try:
                    _work(name, target, range(number, end), seed, left, state, found)
                finally:
                    os._exit(1)
            status = _watch(child, state, start, progress)
            if status is None:
                break
            number, accepted, named = STATE.unpack(state[:])
            found.write(json.dumps([number, status]) + "\n")
            found.flush()
            state[:] = STATE.pack(number + 1, accepted, named)
        found.seek(0)
        result.findings = [tuple(json.loads(line)) for line in found]
    number, result.accepted, result.named_errors = STATE.unpack(state[:])
    result.inputs = number - start
    result.per_second = result.inputs / (time.monotonic() - began)
    return result


def _work(name, target, numbers, seed, seconds, state, found) -> None:  # type: ignore[no-untyped-def]
    """What the child does; it ends here."""
    warnings.simplefilter("ignore")
    sys.stdin = open(os.devnull)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (limit + MEMORY, limit + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, accepted, named = STATE.unpack(state[:])
    until = time.monotonic() + seconds
    for number in numbers:
        state[:] = STATE.pack(number, accepted, named)
        ok, finding = try_input(target, make_input(target, name, seed, number), number)
        if finding is not None:
            found.write(json.dumps([number, finding]) + "\n")
            found.flush()
        accepted += ok and finding is None
        named += not ok and finding is None
        state[:] = STATE.pack(number + 1, accepted, named)
        if time.monotonic() > until:
            break
    os._exit(0)


def _watch(child: int, state: mmap.mmap, start: int, progress) -> str | None:  # type: ignore[no-untyped-def]
    """What ended the child before its time, if anything did."""
    last, since = -1, time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        number = STATE.unpack(state[:])[0]
        if progress is not None:
            progress.update(number - start - progress.n)
        if done and status:
            signalled = os.WIFSIGNALED(status)
            return f"crash: {os.WTERMSIG(status) if signalled else status}"
        if done:
            return None
        if number != last:
            last, since = number, time.monotonic()
        elif time.monotonic() - since > STUCK:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"took more than {STUCK} s"
        time.sleep(0.02)


def table(results: list[Result]) -> str:
    lines = [
        "| reader | inputs | accepted | named errors | findings | inputs/s |",
        "|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r.reader} | {r.inputs:,} | {r.accepted:,} | {r.named_errors:,} "
            f"| {len(r.findings):,} | {r.per_second:,.0f} |"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=1000, help="of each reader")
    parser.add_argument("--reader", action="append", help="only this one (repeatable)")
    parser.add_argument(
        "--start", type=int, default=0, help="number of the first input"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=60, help="at most, of each reader"
    )
    parser.add_argument("--processes", type=int, default=1, help="readers at a time")
    parser.add_argument("--output", type=Path, default=Path("fuzz"), help="folder")
    return parser  # fmt: skip


def main() -> int:
    """The number of findings, at most 1."""
    args = _parser().parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    args.output.mkdir(parents=True, exist_ok=True)
    shared = Path("/dev/shm")
    results = []
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        targets = make_targets(Path(folder))
        names = args.reader or list(targets)

        def run(place: int) -> Result:
            name = names[place]
            with tqdm(
                total=args.inputs,
                desc=name,
                unit="input",
                mininterval=5,
                disable=None,
                position=place,
            ) as progress:
                return fuzz(
                    name,
                    targets[name],
                    args.inputs,
                    seed=args.seed,
                    start=args.start,
                    seconds=args.minutes * 60,
                    progress=progress,
                )

        for result in _in_processes(run, len(names), args.processes):
            name = result.reader
            for number, finding in result.findings:
                print(f"{name} {number}: {finding}", flush=True)
                file = f"{name.replace(' ', '_')}-{args.seed}-{number}.bin"
                data = make_input(targets[name], name, args.seed, number)
                (args.output / file).write_bytes(data)
            results.append(result)
            content = {"seed": args.seed, "readers": [asdict(r) for r in results]}
            (args.output / "fuzz.json").write_text(json.dumps(content, indent=1))
    print(table(sorted(results, key=lambda result: names.index(result.reader))))
    return int(any(result.findings for result in results))


_run: Callable[[int], Result] | None = None


def _run_place(place: int) -> Result:
    assert _run is not None
    return _run(place)


def _in_processes(
    run: Callable[[int], Result], n: int, processes: int
) -> Iterator[Result]:
    """run(0) to run(n - 1), as they end."""
    global _run
    # What is forked has it, and the readers, which can't be sent.
    _run = run
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context) as executor:
        futures = [executor.submit(_run_place, place) for place in range(n)]
        for future in as_completed(futures):
            yield future.result()


if __name__ == "__main__":
    sys.exit(main())
