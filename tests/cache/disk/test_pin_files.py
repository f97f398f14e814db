"""Pins as files, looked at by two threads."""

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

from longreach.cache import Pin
from longreach.cache.disk.pin_files import PinFiles


def test_who_looks_while_another_does_sees_all(tmp_path, monkeypatch):
    """A look that is not over yet is waited for, and not taken for an empty folder."""
    pin = Pin(digests=(b"a" * 32,))
    PinFiles(tmp_path).save(pin)
    pins, begun, go_on, read = PinFiles(tmp_path), Event(), Event(), PinFiles._read

    def slow(self, path):
        begun.set()
        go_on.wait(10)
        return read(self, path)

    monkeypatch.setattr(PinFiles, "_read", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pins.load)
        assert begun.wait(10)
        second = pool.submit(pins.load)
        wait([second], timeout=0.2)
        go_on.set()
        assert first.result() == second.result() == {pin.name: pin}
