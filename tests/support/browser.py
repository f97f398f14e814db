"""A browser for tests of the web page, and a server's answers as a script says them."""

import json

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REPORT = """addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});"""
EXPECTED = "Failed to load resource: "
"""What the browser itself says of an error, or of no answer; the page tells the reader."""


class Watch:
    """A page, and what went wrong in it: exceptions, errors on the console, broken policies."""

    def __init__(self, page):
        self.page = page
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.add_init_script(REPORT)

    def _note(self, message):
        if message.type == "error" and not message.text.startswith(EXPECTED):
            self.errors.append(message.text)


def ask(page, text, *, wait=True):
    """Type a question and send it. wait: until its answer is there."""
    number = page.locator(".bubble").count()
    page.get_by_label("Your question").fill(text)
    page.get_by_role("button", name="Send").click()
    if wait:
        page.locator(".answer.is-done").nth(number).wait_for()


def document(number=1, **changes):
    """A document as GET /v1/documents tells it."""
    return {
        "id": f"file-{number}",
        "object": "document",
        "filename": "contract.pdf",
        "bytes": 1_240_000,
        "kind": "pdf",
        "pages": 212,
        "tokens": 148_212,
        "cached_tokens": 0,
        "disk_tokens": 0,
        "cache_bytes": 0,
        "pinned": False,
        "pinned_until": None,
        "created_at": 1_700_000_000,
        "fits": True,
        "seconds": 74.0,
        "error": None,
        **changes,
    }


def citation(quote, page, **changes):
    """A citation as the `longreach` object of an answer tells it."""
    return {
        "kind": "quoted",
        "quote": quote,
        "file_id": "file-1",
        "filename": "contract.pdf",
        "page": page,
        "verified": True,
        "start": 0,
        "end": 0,
        **changes,
    }


def chunks(answer, *, progress=(), **figures):
    """The events of a streamed answer: progress, text in pieces, the figures at the end."""
    for each in progress:
        yield {"choices": [], "prompt_progress": each}
    for start in range(0, len(answer), 7):
        delta = {"content": answer[start : start + 7]}
        yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 148_230, "completion_tokens": 60, "total_tokens": 148_290}
    details = {"cached_tokens": 148_096, "cache_write_tokens": 0}
    longreach = {"recall_min": 0.94, "recall_mean": 0.978, "density": 0.07, **figures}
    timings = {"prompt_ms": 640.0, "predicted_per_second": 31.0}
    yield {
        "choices": [],
        "usage": {**usage, "prompt_tokens_details": details},
        "timings": timings,
        "longreach": longreach,
    }


class ScriptedServer:
    """Answers in place of a server's API. `routes` goes to `open_page`.

    answer: events of the next answers. failure: (status, error) in place of them. loading: whether
    the model still does. away: whether nothing answers. asked: bodies of the chats so far; pins: of
    the pins. All may be changed.
    """

    def __init__(self, *, documents=(), pages=(), answer=(), estimate=None):
        self.documents = list(documents)
        self.pages = list(pages)
        self.answer = list(answer)
        self.estimate = estimate or {}
        self.failure = None
        self.loading = self.away = False
        self.asked = []
        self.pins = []

    @property
    def routes(self):
        """(pattern of addresses, handler), later ones first."""
        handlers = [
            ("**/v1/models", self._models),
            ("**/v1/estimate", self._estimate),
            ("**/v1/chat/completions", self._chat),
            ("**/v1/files**", self._files),
            ("**/v1/documents**", self._documents),
            ("**/v1/documents/**", self._document),
        ]
        return [(pattern, self._unless_away(handler)) for pattern, handler in handlers]

    def _unless_away(self, handler):
        return lambda route: route.abort() if self.away else handler(route)

    def _models(self, route):
        if self.loading:
            error = {"message": "The model is loading.", "code": "model_loading"}
            _json(route, {"error": error}, 503)
            return
        served = {"id": "Qwen2.5-7B-Instruct-1M", "object": "model", "max_model_len": 1_010_000}
        _json(route, {"object": "list", "data": [served]})

    def _estimate(self, route):
        usual = {"tokens": 148_230, "cached_tokens": 0, "max_model_len": 1_010_000, "seconds": 74.0}
        _json(route, {**usual, "fits": True, **self.estimate})

    def _chat(self, route):
        self.asked.append(json.loads(route.request.post_data))
        if self.failure is not None:
            _json(route, {"error": self.failure[1]}, self.failure[0])
            return
        frames = "".join(f"data: {json.dumps(each)}\n\n" for each in self.answer)
        body = frames + "data: [DONE]\n\n"
        route.fulfill(body=body, content_type="text/event-stream; charset=utf-8")

    def _files(self, route):
        if route.request.method == "DELETE":
            gone = route.request.url.rpartition("/")[2]
            self.documents = [each for each in self.documents if each["id"] != gone]
        _json(route, {"id": "file-1", "object": "file"})

    def _documents(self, route):
        _json(route, {"object": "list", "data": self.documents})

    def _document(self, route):
        path = route.request.url.partition("/v1/documents/")[2].split("/")
        if path[-1] == "image":
            route.fulfill(status=404, body="{}")
        elif path[-1] == "pin":
            self.pins.append((route.request.method, route.request.post_data))
            _json(route, {})
        elif path[-1] == "pages":
            pages = [
                {"number": n, "label": f"page {n}", "text": text}
                for n, text in enumerate(self.pages, start=1)
            ]
            _json(route, {"pages": pages})
        else:
            _json(route, next(each for each in self.documents if each["id"] == path[0]))


def _json(route, body, status=200):
    headers = {"Retry-After": "7"}
    text = json.dumps(body)
    route.fulfill(status=status, body=text, content_type="application/json", headers=headers)
