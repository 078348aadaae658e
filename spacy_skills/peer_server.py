"""Runs in the interpreter that has esco-skill-extractor, and answers what ``peer.py`` asks.

Depends on that environment and the standard library alone: ours clashes with it.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def peak_megabytes() -> float:
    """The most memory this process has held so far. Raises ImportError on Windows."""
    # Not on Windows, where other commands import this module too.
    import resource

    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    _, found, rest = status.partition("VmHWM:")
    if found:
        return int(rest.split()[0]) / 1024
    # Begins with what the process held that started this one. Of bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main(model: str) -> None:
    """A greeting, then for each line of texts one with their number and the peak memory.

    model: folder or name of all-MiniLM-L6-v2, the extractor's default, for machines that do not
    reach the hub. Every other setting is the default.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf8", buffering=1)
    # What libraries print must not be taken for an answer.
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")

    from esco_skill_extractor import SkillExtractor

    imported = peak_megabytes()
    extractor = SkillExtractor(model=model)
    answer({"version": version("esco-skill-extractor")})
    for line in sys.stdin.buffer:
        found = extractor.get_skills(json.loads(line))
        memory = peak_megabytes() - imported
        answer({"texts": len(found), "peak_megabytes": memory})


if __name__ == "__main__":
    main(sys.argv[1])
