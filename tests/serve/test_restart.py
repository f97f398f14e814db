"""A server that is started again has not forgotten what it read."""

from support.process import server_process

QUESTION = (
    "The grass is green. The sky is blue. " * 61 + "The pass key is 28884. What is the pass key?"
)


def ask(directory, key):
    """Usage of one chat with a server of its own."""
    flags = ("--cache-dir", str(directory), "--api-key", "alice", "--api-key", "bob")
    with server_process("needle", "--max-model-len", "4096", *flags) as server:
        server.wait_until_ready()
        reply = server.client.post(
            "/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={
                "model": "needle",
                "messages": [{"role": "user", "content": QUESTION}],
                "max_tokens": 4,
                "temperature": 0,
            },
        )
        server.terminate()
        assert server.wait() == 0
    usage = reply.json()["usage"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def test_a_key_finds_its_prompts_after_a_restart_and_no_other_does(tmp_path):
    """Salts outlive the process: the same key hits, all but the last token; another one never."""
    total, cached = ask(tmp_path, "alice")
    assert cached == 0
    assert ask(tmp_path, "alice") == (total, total - 1)
    assert ask(tmp_path, "bob") == (total, 0)
    (secret,) = tmp_path.rglob("secret")
    assert secret.stat().st_mode & 0o777 == 0o600
