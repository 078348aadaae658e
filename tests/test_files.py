"""How files are written: whole or not at all, whatever stands in their place."""

import os
import subprocess
import sys
from threading import Thread

import pytest

from spacy_skills.files import replacing, write_file


@pytest.fixture
def events(monkeypatch):
    """What is forced to the disk and renamed, in order: ("fsync", file) and ("replace", file)."""
    events = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        events.append(
            ("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        )
        fsync(descriptor)

    def watched_replace(old, new):
        events.append(("replace", os.path.basename(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    return events


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, events):
    folder = tmp_path / "folder"
    write_file(folder / "a", b"content")
    assert events == [("fsync", "a.partial"), ("replace", "a"), ("fsync", "folder")]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    write_file(path, b"old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_bytes(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    link, file = tmp_path / "link", tmp_path / "disk" / "file"
    link.symlink_to(file)
    for content in (b"one", b"two"):
        write_file(link, content)
        assert link.is_symlink() and file.read_bytes() == content


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    write_file(path, b"content")
    reader.join(timeout=10)
    assert read == [b"content"] and path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
def test_what_standard_output_leads_to_is_written_to():
    code = "from pathlib import Path; from spacy_skills.files import write_file; "
    code += "write_file(Path('/dev/stdout'), b'content')"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True
    )
    assert found.stdout == b"content"


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_file(tmp_path / "folder", b"content")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
