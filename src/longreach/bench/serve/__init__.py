"""Measuring a server from outside: any that speaks OpenAI's API.

    prompts -> client (one stream, timed) -> load (many of them) -> summary (vLLM's field names)

`mixed` asks what one long prompt does to chats beside it, `overhead` what the server itself costs.
"""
