"""Many requests in one file, run by our own engine whenever it has room.

    lines (what is asked) -> order (what shares a prefix runs together) -> executor
      -> local (the routes' own functions, no socket) -> journal (each answer once)

`runner` leads the batches of a server through their states; `longreach run-batch` uses the
executor alone.
"""
