"""A server of the small model, as a process of the other environment, for all clients."""

import os
import re
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
LONGREACH = ROOT / ".venv" / "bin" / "longreach"
FACT = re.compile(r"^page +(\d+)  (.+\?)  (\d+)$", re.MULTILINE)
LISTENING = re.compile(r"listening on (\S+), loading")
KEY = "clients-key"


@pytest.fixture(scope="session")
def base_url():
    """Of the API, as clients take it; the server is gone at the end."""
    command = [os.environ.get("LONGREACH", str(LONGREACH)), "serve", "--port", "0"]
    command += ["--max-model-len", "8K", "--api-key", KEY, "--disable-access-log-for-endpoints"]
    server = subprocess.Popen([*command, "/ready"], stderr=subprocess.PIPE, text=True)
    try:
        url = next(match[1] for line in server.stderr if (match := LISTENING.search(line)))
        while httpx.get(url + "/ready", timeout=60).status_code != 200:
            assert server.poll() is None
        threading.Thread(target=server.stderr.read, daemon=True).start()  # no full pipe
        yield url + "/v1"
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="session")
def api_key():
    return KEY


@pytest.fixture(scope="session")
def document():
    """Text with something to find in it."""
    grass = "The grass is green. The sky is blue. The sun is yellow. "
    grass += "Here we go. There and back again. "
    key = "The pass key is 28884. Remember it. 28884 is the pass key. "
    return grass * 20 + key + grass * 20 + "\n\nWhat is the pass key?"


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """A PDF with hidden facts: its path, and (page, question, value) of each."""
    path = tmp_path_factory.mktemp("book") / "book.pdf"
    python = Path(os.environ.get("LONGREACH", str(LONGREACH))).with_name("python")
    command = [python, ROOT / "recipes" / "book.py", path, "--pages", "8", "--facts", "3"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    return path, [(int(page), *rest) for page, *rest in FACT.findall(made.stdout)]
