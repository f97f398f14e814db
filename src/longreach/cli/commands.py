"""Every command by its name."""

from __future__ import annotations

from longreach.cli import (
    bench,
    cache,
    chat_command,
    demo,
    estimate,
    evaluate,
    generate,
    models,
    pull,
    run_batch,
    serve,
    show,
    version,
)
from longreach.cli.ask import command as ask_command
from longreach.cli.help import App

app = App(
    name="longreach",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Read a million tokens with the models of the Qwen family on the hardware at hand.\n\n"
        "Start with [bold]longreach demo[/bold]: it needs no download. Every command explains "
        "itself with --help."
    ),
)


@app.callback()
def _longreach(version: version.Version = False) -> None:
    """What stands before a command."""


app.command("demo")(demo.demo)
app.command("ask")(ask_command.ask)
app.command("chat")(chat_command.chat)
app.command("serve")(serve.serve)
app.command("run-batch")(run_batch.run_batch)
app.command("generate")(generate.generate)
app.add_typer(evaluate.app, name="eval")
app.command("estimate")(estimate.estimate)
app.command("show")(show.show)
app.command("pull")(pull.pull)
app.add_typer(cache.app, name="cache")
app.command("list")(models.list_models)
app.command("rm")(models.remove)
app.command("ps")(models.show_running)
app.add_typer(bench.app, name="bench")
app.command("version")(version.version)
