"""The secret of the cache salts outlives a server that keeps its state."""

from concurrent.futures import ThreadPoolExecutor

from longreach.serve.auth import KeyRing
from longreach.serve.secret import FILE_NAME, NUM_BYTES, server_secret


def test_it_is_made_once_and_kept(tmp_path):
    """Keys have the same salts after a restart, and others in another directory."""
    one, again, other = (server_secret(tmp_path / name) for name in ("a", "a", "b"))
    assert len(one) == NUM_BYTES
    salts = [KeyRing(("key",), each).find("key").cache_salt for each in (one, again, other)]
    assert salts[0] == salts[1] != salts[2]


def test_nobody_else_can_read_it(tmp_path):
    """Neither the file nor the directory made for it."""
    folder = tmp_path / "state"
    server_secret(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_servers_that_start_together_agree(tmp_path):
    """The first one's is everybody's."""
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(server_secret, [tmp_path] * 16))) == 1
