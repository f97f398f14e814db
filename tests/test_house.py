"""What the project promises about itself: its front page, its flags, its files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_readme_is_short():
    """The README has at most 120 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_requirement_is_pinned():
    """constraints.txt names one exact version of every package that pyproject.toml asks for."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    pinned = {normal(pin.split("==")[0]) for pin in pins}
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(r for extra in extras for r in extra)]
    names = {normal(re.match(r"[\w-]+", requirement)[0]) for requirement in wanted}
    assert names - {"longreach"} <= pinned


def normal(name):
    return name.lower().replace("_", "-")


def test_the_exact_set_keeps_the_lower_bounds():
    """A version that is installed for tests is not below what pyproject.toml allows."""
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    pins = {normal(name): version for name, version in pins.items()}
    for requirement in PROJECT["project"]["dependencies"]:
        name, bound = requirement.split(">=")
        assert numbers(pins[normal(name)]) >= numbers(bound)


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_the_version_is_written_once():
    """pyproject.toml, the package and the changelog agree."""
    import longreach

    assert longreach.__version__ == PROJECT["project"]["version"]
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_ignored_rule_has_its_reason():
    """In ruff's ignore list, an entry has a comment, or stands in a group that begins with one."""
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("ignore = [", 1)[1].split("\n]", 1)[0]
    explained = False
    for line in filter(None, (line.strip() for line in block.splitlines())):
        explained = explained or "#" in line
        assert explained, line


def test_importing_is_light():
    """`import longreach` loads neither torch nor transformers nor typer."""
    heavy = ("torch", "transformers", "typer")
    code = f"import longreach, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "serve --help",
        "list",
        "cache list --cache-dir nowhere",
        "generate hello --model ./nowhere",
        "show ./nowhere",
        "serve ./nowhere",
    ],
)
def test_what_needs_no_torch_does_not_wait_for_it(line):
    """Help, lists, and names of models that are not there."""
    code = (
        "import sys\nfrom longreach.cli.commands import app\n"
        f"try:\n    app({line.split()})\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


FLAGS = {
    "demo": "--dense --dtype --file --json --model --no-dense --seed --sparse --tokens",
    "ask": "--cache-dir --cache-size --cache-ttl --dtype --interactive --json --max-model-len "
    "--max-tokens --model --no-disk-cache --over-length --pin --quantization --seed --sparse "
    "--sparse-recall --temperature",
    "chat": "--api-key --base-url --doc --max-tokens --model --seed --system --temperature",
    "serve": "--alias --allowed-origins --api-key --api-key-file --block-size --cache-dir "
    "--cache-size --cache-ttl --chat-template "
    "--checkpoint-path --config --cpu-only --ctx-size --default-chat-template-kwargs --device "
    "--disable-access-log-for-endpoints --disable-gc --dtype --enable-auto-tool-choice "
    "--enable-chunked-prefill --enable-prefix-caching --enable-request-id-headers --enforce-eager "
    "--host --kv-cache-dtype --log-format --max-batch-concurrency --max-body-bytes "
    "--max-file-bytes --max-prefill-tokens-per-minute --metrics-prefix "
    "--max-inter-token-ms --max-model-len --max-num-batched-tokens --max-num-queued-reqs "
    "--max-num-queued-tokens "
    "--max-num-seqs --model --no-disk-cache --no-enable-prefix-caching --num-speculative-tokens "
    "--parallel --port "
    "--quantization "
    "--reasoning-parser --root-path --seed --served-model-name --server-name --server-port "
    "--shutdown-timeout --sparse --sparse-recall --sse-keep-alive-interval --ssl-ca-certs "
    "--ssl-certfile --ssl-keyfile --state-dir --stored-ttl --timeout-keep-alive "
    "--tool-call-parser --trust-remote-code --uds --uvicorn-log-level",
    "run-batch": "--alias --block-size --chat-template --checkpoint-path --cpu-only --ctx-size "
    "--default-chat-template-kwargs --device --dtype --enable-prefix-caching --input-file "
    "--kv-cache-dtype --max-inter-token-ms --max-model-len --max-num-batched-tokens "
    "--max-num-queued-reqs "
    "--max-num-queued-tokens --max-num-seqs --model --no-enable-prefix-caching "
    "--num-speculative-tokens --output-file "
    "--parallel --quantization --resume --seed --served-model-name --sparse --sparse-recall",
    "generate": "--dtype --file --json --max-tokens --model --quantization --raw --seed --sparse "
    "--sparse-recall --system --temperature --top-p",
    "eval needle": "--documents --dtype --haystack --json --lengths --model --no-dca --plot "
    "--questions --seed --sparse --sparse-recall --tasks",
    "eval passkey": "--dtype --json --lengths --model --no-dca --plot --questions --seed --sparse "
    "--sparse-recall",
    "cache list": "--cache-dir --json",
    "cache show": "--cache-dir --json",
    "cache pin": "--cache-dir --json --label --ttl",
    "cache unpin": "--cache-dir --json",
    "cache rm": "--cache-dir --json --yes",
    "cache verify": "--cache-dir --json",
    "cache gc": "--cache-dir --cache-size --cache-ttl --json",
    "estimate": "--dtype --json --quantization --sparse --tokens",
    "show": "--json",
    "pull": "--revision --source",
    "list": "--json",
    "rm": "--yes",
    "ps": "--api-key --base-url --json",
    "bench": "--decode --engines --json --layers --output --prefill --rounds --shape",
    "bench serve": "--api-key --backend --base-url --dataset-name --ignore-eos --json "
    "--max-concurrency --metric-percentiles --mixed-prefill --model --num-chats --num-prompts "
    "--overhead --percentile-metrics --random-input-len --random-output-len --request-rate "
    "--result-dir --result-filename --save-result --seed",
    "version": "",
}


def commands():
    from longreach.cli.commands import app

    def walk(command, name):
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield name, command
            for child, sub in command.commands.items():
                yield from walk(sub, f"{name} {child}".strip())
        else:
            yield name, command

    return dict(walk(typer.main.get_command(app), ""))


def test_the_commands_are_these():
    """A new command is a decision: it is listed here."""
    assert commands().keys() == FLAGS.keys()


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_are_these(name):
    """A new flag is a decision: it is listed here. Every command has --debug."""
    parameters = commands()[name].params
    long = {o for p in parameters for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    assert long - {"--help"} == {"--debug", *FLAGS[name].split()}


@pytest.mark.parametrize("name", FLAGS)
def test_help_teaches_by_example(name):
    """Every command's help has an example that calls it by its name."""
    assert f"longreach {name}" in commands()[name].help
