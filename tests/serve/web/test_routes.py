"""The page's files as they are served."""

import gzip
import hashlib
import http.client
import re
from pathlib import Path

from longreach.serve.routes.web import POLICY, ROOT
from support.fake_async_engine import FakeAsyncEngine
from support.serving import live_server

SOURCES = Path(__file__).parents[3] / "web"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
MAX_BYTES = 1_500_000


def assets():
    return sorted(path.name for path in (ROOT / "assets").iterdir())


def test_the_page_may_run_nothing_but_itself(make_client):
    """Open to all, with a policy without inline code, foreign hosts or frames."""
    page = make_client(api_keys=("secret",)).get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == TYPES[".html"]
    assert page.headers["content-security-policy"] == POLICY
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-cache"


def test_the_page_keeps_its_own_policy(client):
    """No inline script or style, no handler, nothing from elsewhere."""
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


def test_every_asset_is_served(make_client):
    """Without a key, with its type, for ever, and never again to who has it."""
    client = make_client(api_keys=("secret",))
    for name in assets():
        answer = client.get(f"/assets/{name}")
        assert answer.content == (ROOT / "assets" / name).read_bytes()
        assert answer.headers["content-type"] == TYPES[Path(name).suffix]
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        known = client.get(f"/assets/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")


def test_text_is_sent_compressed(client):
    """To who can read it, and only to them."""
    name = next(name for name in assets() if name.endswith(".js"))
    path = ROOT / "assets" / name
    plain = client.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept-Encoding"
    with client.stream("GET", f"/assets/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(raw) < path.stat().st_size / 2
    assert gzip.decompress(raw) == path.read_bytes()


OTHER_PATHS = [
    "/assets/../index.html",
    "/assets/..%2findex.html",
    "/assets/%2e%2e/%2e%2e/app.py",
    "/assets/..%5c..%5capp.py",
    "/assets//etc/passwd",
    "/assets/",
    "/assets/nothing.js",
    "/index.html",
    "/sources.sha256",
    "/web/index.html",
]


def test_nothing_else_is_served():
    """Whatever way a path is written: over a socket, so that no client tidies it up."""
    with live_server(FakeAsyncEngine()) as url:
        for path in OTHER_PATHS:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
            connection.request("GET", path)
            assert connection.getresponse().status == 404, path
            connection.close()


def test_below_a_root_path(make_client):
    """Behind both kinds of proxy; every address in the page is relative."""
    client = make_client(root_path="/lr")
    page = client.get("/lr/")
    assert page.text == client.get("/").text
    for reference in references(page.text):
        assert reference.startswith("./"), reference
        assert client.get(f"/lr/{reference[2:]}").status_code == 200


def references(page):
    found = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert found
    return found


def test_everything_that_is_referenced_is_there(client):
    """By the page, by styles, and by scripts that load others when they are needed."""
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")}
    wanted = {reference.removeprefix("./") for reference in references(client.get("/").text)}
    for name in assets():
        text = (ROOT / "assets" / name).read_text(encoding="utf-8", errors="replace")
        if name.endswith(".css"):
            wanted |= {f"assets/{url.strip('./')}" for url in re.findall(r"url\(([^)#]+)\)", text)}
        if name.endswith(".js"):
            loaded = re.findall(r"[\"'`]\./(?:assets/)?([\w.-]+\.(?:js|css))[\"'`]", text)
            wanted |= {f"assets/{url}" for url in loaded}
    assert len(wanted) > 20
    assert wanted <= there
    assert {f"assets/{name}" for name in assets()} <= wanted


def test_the_page_is_small():
    """All of it, fonts included."""
    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) < MAX_BYTES


def test_the_licences_are_there(client):
    """Of each package that the page is made of, with its text."""
    text = client.get("/licenses.txt").text
    for name in ("preact", "markdown-it", "katex", "highlight.js", "@fontsource-variable/inter"):
        assert re.search(rf"^{re.escape(name)} [\d.]+ \(.+\)$", text, re.MULTILINE)
    assert text.count("Copyright") > 10


def test_the_built_page_is_up_to_date():
    """It was made of the sources as they are now: `make web` makes it anew."""
    assert (ROOT / "sources.sha256").read_text().strip() == digest_of_sources()


def digest_of_sources():
    """As web/plugins/sources-digest.ts computes it."""
    names = (
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*")
        if path.is_file() and "node_modules" not in path.relative_to(SOURCES).parts
    )
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_no_html_is_ever_made_of_text():
    """No source has a way to turn a string into elements, or into code."""
    forbidden = (
        "innerHTML|outerHTML|insertAdjacent|dangerouslySet|document.write|eval\\(|Function\\("
    )
    sources = [*SOURCES.glob("src/**/*.ts"), *SOURCES.glob("src/**/*.tsx")]
    assert len(sources) > 40
    for path in sources:
        assert not re.search(forbidden, path.read_text(encoding="utf-8")), path


def test_the_lock_file_names_no_registry():
    """So that it works with any."""
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()
