"""A writer that is killed at any moment leaves a directory that is whole."""

import os
import random
import signal
import time

import pytest

from longreach.cache.disk import files
from longreach.cache.provenance import DENSE
from support.extents import chain, open_store, read, write

TRIALS, PER_DIRECTORY = 200, 20
NUM_PAGES, PER_EXTENT = 15, 3
NUM_CALLS = 90
"""About as many system calls as a whole chain takes."""


def die_at(moment):
    """Kill this process in the place of its n-th system call that changes files."""
    left = [moment]

    def count(call):
        def counted(*args, **kwargs):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted

    writev = os.writev

    def in_small_pieces(handle, buffers):
        """So that a kill finds half an extent."""
        return writev(handle, [buffers[0][:200]])

    for name in ("open", "fsync", "close", "rename", "replace", "unlink"):
        setattr(os, name, count(getattr(os, name)))
    os.writev = count(in_small_pieces)


def child(directory, name, moment):
    """Write a chain until the end comes: at a system call, or whenever the parent says."""
    os.fsync = bool  # the system outlives us: what it was given is safe
    if moment is not None:
        die_at(moment)
    store = open_store(directory)
    digests = chain(name, NUM_PAGES)
    for first in range(0, NUM_PAGES, PER_EXTENT):
        write(store, digests, first, first + PER_EXTENT)
    store.flush(10)


def spawn(directory, name, moment):
    pid = os.fork()
    if pid:
        return pid
    try:
        child(directory, name, moment)
    finally:
        os._exit(0)


def kill_after(pid, directory, num_files, more_s):
    """Kill a writer a moment after it has made so many files more."""
    before = num_extents(directory)
    while num_extents(directory) - before < num_files and not has_ended(pid):
        time.sleep(0.0005)
    time.sleep(more_s)
    os.kill(pid, signal.SIGKILL)


def has_ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def num_extents(directory):
    return sum(1 for _ in directory.glob("extents/*/*.safetensors"))


@pytest.mark.parametrize("how", ["between system calls", "at any time"])
def test_kill_9_leaves_nothing_torn(tmp_path, how):
    """200 writers die; what they leave is found whole, or not at all, and can be written again.

    After each death every extent of its chain that is there reads back to the byte, heads before
    tails; at the end drafts are gone, and a last writer completes a chain.
    """
    rng = random.Random(how)
    lengths = []
    for at in range(TRIALS // 2 // PER_DIRECTORY):
        directory = tmp_path / str(at)
        left = [trial(directory, f"chain {n}", how, rng) for n in range(PER_DIRECTORY)]
        check_all(directory, left)
        lengths += left
    assert len(lengths) == TRIALS // 2
    assert len(set(lengths)) >= 3, "every writer died at the same place"


def trial(directory, name, how, rng):
    """A writer dies; how many pages of its chain can be read."""
    moment = rng.randrange(1, NUM_CALLS) if how == "between system calls" else None
    pid = spawn(directory, name, moment)
    if moment is None:
        kill_after(pid, directory, rng.randrange(NUM_PAGES // PER_EXTENT), rng.random() * 0.002)
    os.waitpid(pid, 0)
    store = open_store(directory)
    length = read(store, chain(name, NUM_PAGES))
    store.close()
    assert length % PER_EXTENT == 0
    assert store.writer.is_on
    return length


def check_all(directory, lengths):
    """Nothing was lost since, no draft stays, and what is missing can be written."""
    for draft in directory.glob(f"extents/*/*{files.DRAFT}"):
        os.utime(draft, (0, 0))
    store = open_store(directory)
    assert list(store.folder.glob(f"*{files.DRAFT}")) == []
    found = [read(store, chain(f"chain {n}", NUM_PAGES)) for n in range(len(lengths))]
    assert found == lengths
    digests = chain("chain 0", NUM_PAGES)
    for first in range(0, NUM_PAGES, PER_EXTENT):
        if store.lacks(digests[first], DENSE):
            write(store, digests, first, first + PER_EXTENT)
    store.close()
    assert read(open_store(directory), digests) == NUM_PAGES
