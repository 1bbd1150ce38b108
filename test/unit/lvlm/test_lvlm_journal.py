"""Work shared between processes: parts, and one journal that all of them append to."""

import errno
import subprocess
import sys

import pytest

from eo_nodes.lvlm.journal import Journal, Part, whole_records

RECORDS, LONG = 200, 20_000      # records of each process, characters of each
WRITER = """
import sys
from pathlib import Path
from eo_nodes.lvlm.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    for i in range(int(sys.argv[3])):
        journal.append({"who": sys.argv[2], "i": i, "x": "y" * int(sys.argv[4])})
"""


def test_parts_of_the_work_are_disjoint_and_whole():
    pieces = list(range(7))
    parts = [Part(i, 3).of(pieces) for i in (1, 2, 3)]
    assert sorted(p for part in parts for p in part) == pieces and parts[1] == [1, 4]
    assert Part().of(pieces) == pieces and Part.read("2/3") == Part(2, 3)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", ""])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        Part.read(text)


def test_processes_append_to_one_journal_without_tearing(tmp_path):
    path = tmp_path / "a.jsonl"
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), who, str(RECORDS),
                                 str(LONG)]) for who in "ab"]
    assert [one.wait(60) for one in running] == [0, 0]
    found, end = whole_records(path.read_bytes())
    assert end == path.stat().st_size and path.read_bytes().count(b"\n") == len(found)
    assert {(r["who"], r["i"]) for r in found} == {
        (who, i) for who in "ab" for i in range(RECORDS)}


def test_a_full_disk_is_an_error_and_costs_no_other_record(tmp_path):
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        journal.append({"i": 0})
        own, writes = journal._stream, []

        class Full:
            def write(self, data):
                writes.append(len(data))
                if len(writes) > 1:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return own.write(data[:4])

        journal._stream = Full()
        with pytest.raises(OSError, match="No space"):
            journal.append({"i": 1})
        journal._stream = own
    with Journal(path) as journal:
        assert journal.records == [{"i": 0}]
        journal.append({"i": 2})
    assert whole_records(path.read_bytes())[0] == [{"i": 0}, {"i": 2}]
