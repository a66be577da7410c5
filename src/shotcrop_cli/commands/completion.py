"""`shotcrop completion`: print the script that completes command lines in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from shotcrop_cli.cli.help import Command
from shotcrop_cli.cli.streams import result

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion", cls=Command, example=("complete in this bash session", 'eval "$(shotcrop completion bash)"')
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in your shell.

    Add the line for your shell to ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish:

    \b
    bash   eval "$(shotcrop completion bash)"
    zsh    eval "$(shotcrop completion zsh)"
    fish   shotcrop completion fish | source
    """  # noqa: D301, click reads \b as a character
    completion = get_completion_class(shell)
    assert completion is not None
    # The variable is the one that click reads when the script asks for completions.
    result(completion(ctx.find_root().command, {}, "shotcrop", "_SHOTCROP_COMPLETE").source().rstrip("\n"))
