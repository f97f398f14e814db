"""`longreach serve` as a process of its own, on a free port."""

import queue
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx2

COMMAND = (sys.executable, "-c", "from longreach.cli.app import main; main()", "serve")
LISTENING = re.compile(r"listening on (\S+), loading")


class ServerProcess:
    """url: where it listens. client: of this url. lines: of its log so far."""

    def __init__(self, *flags):
        self.lines = []
        self._news = queue.Queue()
        self.process = subprocess.Popen(
            [*COMMAND, "--port", "0", *flags], stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self._wait_for(LISTENING)
        self.client = httpx2.Client(base_url=self.url, timeout=60)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            self._news.put(line)
        self._news.put(None)

    def _wait_for(self, pattern, timeout_s=120):
        end = time.monotonic() + timeout_s
        while (line := self._news.get(timeout=end - time.monotonic())) is not None:
            if match := pattern.search(line):
                return match[1]
        raise AssertionError("".join(self.lines))

    def get(self, path):
        return self.client.get(path)

    def wait_until_ready(self, timeout_s=120):
        end = time.monotonic() + timeout_s
        while self.get("/ready").status_code != 200:
            assert time.monotonic() < end, self.lines
            time.sleep(0.05)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=60):
        """Its exit code."""
        return self.process.wait(timeout_s)


@contextmanager
def server_process(*flags):
    """A server that listens; killed at the end if it still runs."""
    server = ServerProcess(*flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
        server.client.close()
