"""A conversation in the terminal, with a model in this process or behind an OpenAI-style URL."""
