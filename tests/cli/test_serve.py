"""`longreach serve`: what its flags mean. The server itself is tested in tests/serve."""

import pytest
import typer

from longreach.cli import serve as module
from longreach.cli.commands import app
from longreach.cli.serve_flags import NO_OPS, SERVE_FLAGS
from longreach.serve import run as run_module


@pytest.fixture
def serve(run, monkeypatch):
    """Run `longreach serve ...`; the result holds the settings and what the engine would be."""
    seen = {}

    def run_server(settings, load):
        seen["settings"] = settings
        load()

    def load_engine(model, max_model_len, values):
        seen["model"] = model
        seen["engine"] = module.engine_options(values, max_model_len)

    monkeypatch.setattr(run_module, "run_server", run_server)
    monkeypatch.setattr(module, "load_engine", load_engine)

    def call(line):
        seen.clear()
        result = run(["serve", *(line if isinstance(line, list) else line.split())])
        return result, dict(seen)

    return call


def ok(result):
    outcome, seen = result
    assert outcome.exit_code == 0, outcome.output
    return seen


def test_it_needs_no_arguments(serve):
    """The model that is shipped, on port 8000 of this machine, open."""
    seen = ok(serve(""))
    assert seen["model"] == "needle"
    settings = seen["settings"]
    assert (settings.host, settings.port, settings.api_keys) == ("127.0.0.1", 8000, ())
    assert settings.served_model_names == ("needle",)
    assert settings.sampling_defaults == {"temperature": 0.0}
    assert seen["engine"]["max_model_len"] == "auto"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("--max-model-len 1000", "max_model_len", 1000),
        ("--max-model-len 128K", "max_model_len", 131072),
        ("-c 4096", "max_model_len", 4096),
        ("--ctx-size 4096", "max_model_len", 4096),
        ("-np 4", "max_num_seqs", 4),
        ("--parallel 4", "max_num_seqs", 4),
        ("--max-num-seqs 4", "max_num_seqs", 4),
        ("--no-enable-prefix-caching", "enable_prefix_caching", False),
        ("--cpu-only", "device", "cpu"),
        ("--block-size 64", "page_size", 64),
        ("--quantization int8", "quantization", "int8"),
        ("-ctk bfloat16", "kv_cache_dtype", "bfloat16"),
        ("--max-num-batched-tokens 512", "max_num_batched_tokens", 512),
        ("--sparse off", "sparse", "off"),
        ("--seed 3", "seed", 3),
    ],
)
def test_flags_of_the_engine(serve, line, name, value):
    """vLLM's spelling, and llama.cpp's and the Qwen demos' names for the same."""
    assert ok(serve(line))["engine"][name] == value


@pytest.mark.parametrize("line", ["needle", "--model needle", "-m needle", "-hf needle"])
def test_a_model_in_every_spelling(serve, line):
    """By position, or by any flag that people know."""
    assert ok(serve(line))["model"] == "needle"


def test_the_demos_c_is_a_checkpoint(serve, tmp_path):
    """What is no number of tokens is a path."""
    assert ok(serve(["-c", str(tmp_path)]))["model"] == str(tmp_path)
    outcome, _ = serve("needle -c lots")
    assert outcome.exit_code == 2
    assert "--max-model-len" in outcome.stderr


def test_flags_of_the_server(serve):
    """Names, address, keys of three sources, origins, template variables."""
    seen = ok(
        serve(
            "--served-model-name a --served-model-name b --server-name 0.0.0.0 --server-port 1 "
            "--allowed-origins https://x --disable-access-log-for-endpoints /health,/ready "
            '--default-chat-template-kwargs {"enable_thinking":false} --shutdown-timeout 5'
        )
    )
    settings = seen["settings"]
    assert settings.served_model_names == ("a", "b")
    assert (settings.host, settings.port) == ("0.0.0.0", 1)
    assert settings.allowed_origins == ("https://x",)
    assert settings.disable_access_log_for_endpoints == ("/health", "/ready")
    assert settings.default_chat_template_kwargs == {"enable_thinking": False}
    assert settings.shutdown_timeout == 5


@pytest.mark.parametrize("origin", ["foo", "https://", "https://x/page", "https://x "])
def test_an_origin_that_no_browser_sends_is_refused(serve, origin):
    """A page's address, or a bare name, would never be equal to an Origin header."""
    outcome, _ = serve(["--allowed-origins", origin])
    assert outcome.exit_code == 2
    assert "--allowed-origins" in outcome.stderr


def test_a_name_must_not_be_empty(serve):
    """A request could not ask for it."""
    outcome, _ = serve(["--served-model-name", ""])
    assert outcome.exit_code == 2
    assert "--served-model-name" in outcome.stderr


def test_keys_by_flag_file_and_variable(serve, tmp_path, monkeypatch):
    """All of them open the server; comments in the file do not."""
    file = tmp_path / "keys"
    file.write_text("# keys\nthree\n\nfour\n")
    line = ["--api-key", "one", "--api-key", "two", "--api-key-file", str(file)]
    assert ok(serve(line))["settings"].api_keys == ("one", "two", "three", "four")
    monkeypatch.setenv("LONGREACH_API_KEY", "five")
    assert ok(serve(""))["settings"].api_keys == ("five",)


def test_a_config_file_gives_what_the_line_does_not(serve, tmp_path):
    """The command line goes first; dashes and underscores are the same."""
    file = tmp_path / "server.yaml"
    file.write_text(
        "port: 9000\nmax-num-seqs: 2\nmax_model_len: 500\napi-key: [a, b]\nsparse: off\nuds:\n"
        "default-chat-template-kwargs: {enable_thinking: false}\nenable-prefix-caching: false\n"
    )
    seen = ok(serve(["--config", str(file), "--port", "1"]))
    assert seen["settings"].port == 1
    assert seen["settings"].api_keys == ("a", "b")
    assert seen["settings"].uds is None
    assert seen["settings"].default_chat_template_kwargs == {"enable_thinking": False}
    assert (seen["engine"]["max_num_seqs"], seen["engine"]["max_model_len"]) == (2, 500)
    assert (seen["engine"]["sparse"], seen["engine"]["enable_prefix_caching"]) == ("off", False)


@pytest.mark.parametrize("text", ["prot: 1\n", "- a\n", "{", "\x00"])
def test_a_config_file_that_cannot_be_obeyed(serve, tmp_path, text):
    """One line that names the file's fault."""
    file = tmp_path / "server.yaml"
    file.write_text(text)
    outcome, _ = serve(["--config", str(file)])
    assert outcome.exit_code == 2
    assert "config" in outcome.stderr


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("no-such-model", "no-such-model"),
        ("--port 99999", "--port"),
        ("--ssl-keyfile no.pem", "--ssl-keyfile"),
        ("--ssl-certfile no.pem", "--ssl-certfile"),
        ("--ssl-ca-certs no.pem", "--ssl-ca-certs"),
        ("--chat-template no.jinja", "--chat-template"),
        ("--api-key-file no.txt", "--api-key-file"),
        (f"--ssl-keyfile {__file__}", "--ssl-certfile is missing"),
        (f"--ssl-certfile {__file__}", "--ssl-keyfile is missing"),
        ("--default-chat-template-kwargs [1]", "--default-chat-template-kwargs"),
    ],
)
def test_what_cannot_be_is_one_line(serve, line, word):
    """Exit code 2, before anything is loaded."""
    outcome, seen = serve(line)
    assert outcome.exit_code == 2
    assert word in outcome.stderr
    assert "model" not in seen


def test_no_ops_are_accepted(serve):
    """Command lines from elsewhere work as they are."""
    words = []
    for flag in NO_OPS:
        words += [flag.names[0]] if flag.type is bool else [flag.names[0], "x"]
    ok(serve(words))


def test_the_parser_is_the_table():
    """Every flag of the table is an option of the command, and no other but the common ones."""
    command = typer.main.get_command(app).commands["serve"]
    options = {option for parameter in command.params for option in parameter.opts}
    table = {name.partition("/")[0] for flag in SERVE_FLAGS for name in flag.names}
    assert options == table | {"model_argument", "--config", "--debug"}
    spellings = [name for flag in SERVE_FLAGS for name in flag.names]
    assert len(spellings) == len(set(spellings))
    assert all(flag.help.endswith(".") for flag in SERVE_FLAGS)


def test_flags_of_operation(serve, tmp_path):
    """Logs, metrics, the keys' limit, and a secret that a restart does not change."""
    line = (
        "--log-format json --metrics-prefix vllm: --max-prefill-tokens-per-minute 1000 "
        f"--state-dir {tmp_path / 'state'}"
    )
    first, second = (ok(serve(line))["settings"] for _ in range(2))
    assert (first.log_format, first.metrics_prefix) == ("json", "vllm:")
    assert first.max_prefill_tokens_per_minute == 1000
    assert first.secret == second.secret
    assert ok(serve(""))["settings"].secret != first.secret


def test_where_state_is_kept(serve, tmp_path):
    """Beside the disk cache, per model and for its owner alone; without both, nowhere."""
    cache = f"--cache-dir {tmp_path}"
    usual, again = (ok(serve(cache))["settings"] for _ in range(2))
    assert usual.state_dir == tmp_path / "server" / "needle"
    assert usual.state_dir.stat().st_mode & 0o777 == 0o700
    assert (usual.state_dir / "secret").stat().st_mode & 0o777 == 0o600
    assert usual.secret == again.secret
    given = ok(serve(f"{cache} --state-dir {tmp_path / 'mine'}"))["settings"]
    assert given.state_dir == tmp_path / "mine"
    assert ok(serve(f"{cache} --no-disk-cache"))["settings"].state_dir is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--log-format xml", "--log-format"),
        ("--metrics-prefix 1", "--metrics-prefix"),
        ("--max-prefill-tokens-per-minute 0", "--max-prefill-tokens"),
    ],
)
def test_flags_of_operation_that_cannot_be(serve, line, word):
    """Named, before anything is loaded."""
    outcome, seen = serve(line)
    assert outcome.exit_code == 2
    assert word in outcome.stderr
    assert "model" not in seen
