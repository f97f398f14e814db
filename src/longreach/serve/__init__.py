"""The server: HTTP in, `AsyncTextEngine` below. `create_app` makes it, `run_server` listens.

    middleware (id, key) -> routes/ -> prompt, sampling -> generation -> engine
                                routes/ <- chat_format ... <- events

A family of routes is one file in `routes/` and one entry in `app.FAMILIES`. It turns its own body
into a `GenerationRequest`, and the events of a `Generation` into its own answer; what lies between
is the same for all.
"""
