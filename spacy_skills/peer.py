"""esco-skill-extractor as a contender, in an environment of its own: its dependencies clash
with ours."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import Errors

SERVER = Path(__file__).parent / "peer_server.py"
# Characters of what a peer wrote that are shown.
SHOWN = 300


class Peer:
    """One process for a whole run, which answers each list of texts when it is done.

    peak_megabytes: the most memory the process has held above its imports.
    """

    def __init__(self, python: str, model: str) -> None:
        """Returns when the peer is ready, which takes minutes the first time, as it keeps the
        vectors of its skills. python: path of the interpreter that has it. model: folder or
        name of its encoder. Raises ValueError (S915) if it can't be started or ends."""
        self.python = python
        self.peak_megabytes = 0.0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                # Isolated, or it would see our modules.
                [python, "-I", str(SERVER), model],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # All contenders use the CPU.
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                encoding="utf8",
                errors="replace",
            )
        except OSError as err:
            self._log.close()
            raise self._error(f"can't be started: {err.strerror}") from err
        try:
            self.name = f"esco-skill-extractor {self._answer('version')['version']}"
        except BaseException:
            self.close()
            raise

    def __call__(self, texts: Sequence[str]) -> None:
        """Raises ValueError (S915) if it ends or does not answer for every text."""
        assert self._process.stdin is not None
        # If it has ended, the answer is missing too, and says more.
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(list(texts)) + "\n")
            self._process.stdin.flush()
        answer = self._answer("texts", "peak_megabytes")
        if answer["texts"] != len(texts):
            raise self._error(f"answered for {answer['texts']} texts of {len(texts)}")
        self.peak_megabytes = answer["peak_megabytes"]

    def _answer(self, *keys: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise self._error(f"ended with status {status}: {self._last_words()}")
        try:
            answer = json.loads(line)
            return {key: answer[key] for key in keys}
        except (ValueError, TypeError, KeyError):
            raise self._error(f"answered {line[:SHOWN]!r}") from None

    def _last_words(self) -> str:
        self._log.seek(0)
        written = self._log.read().decode("utf8", "replace").strip()
        return written[-SHOWN:].rpartition("\n")[2] or "it wrote nothing"

    def _error(self, what: str) -> ValueError:
        return ValueError(Errors.S915.format(python=self.python, what=what))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        # A question that it has not taken is lost.
        with suppress(BrokenPipeError), self._log, self._process:
            pass

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
