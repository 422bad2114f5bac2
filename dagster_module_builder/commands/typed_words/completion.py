"""``completion``: completion of tasks, flags and names by the shell."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from invoke.context import Context

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.base.settings import expanded
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import command, typed_of

SHELLS = ("bash", "zsh", "fish")
_SCRIPTS = Path(__file__).with_name("completions")
_BEGIN, _END = b"# BEGIN: dagster-module-builder", b"# END: dagster-module-builder"
#: Stands behind the begin of a block before which a line feed was added.
_ADDED = b" (with the line feed before it)"


@command(
    "completion",
    help={
        "shell": "bash, zsh or fish (default: the one that $SHELL names).",
        "install": "Install it for this user: new shells have it.",
        "remove": "Remove what --install wrote.",
    },
    positional=typed_of("completion", "shell", least=0),
)
def completion(_context: Context, shell: str | None = None, install: bool = False, remove: bool = False) -> None:
    """Print or install the completion of tasks, flags and names for a shell."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise UsageError(f"No completion for the shell {shell!r}. Choose one of: {', '.join(SHELLS)}.")
    if install and remove:
        raise UsageError("Pass --install or --remove, not both.")
    if install or remove:
        _change(shell, install=install)
    else:
        script = _script(shell)
        console.give({"shell": shell, "script": script})
        console.say(script.rstrip())


def _script(shell: str) -> str:
    return (_SCRIPTS / f"completion.{shell}").read_text("utf-8")


def _change(shell: str, *, install: bool) -> None:
    from dagster_module_builder.transactions.plan import FileChange, Plan
    from dagster_module_builder.transactions.transaction import commit_one

    files = _files(shell)
    contents = {path: _content(path) for path in files}
    changes = [FileChange(path, contents[path], text.encode() if install else None) for path, text in files.items()]
    if settings := _shell_settings(shell):
        before = _content(settings)
        after = with_block(before or b"", next(iter(files)) if install else None)
        changes.append(FileChange(settings, before, after if after or before is not None else None))
    plan = Plan(tuple(changes))
    console.give({"shell": shell, "installed": install, "files": console.files_as_data(plan, expanded("~"))})
    for change in plan.effective:
        commit_one(change)
    if not plan.effective:
        console.say("It is installed already." if install else "It is not installed.")
        return
    console.say_plan(plan, expanded("~"))
    if install:
        console.say(f"Start a new {shell}, type 'dagster-module-builder workspace.' and press Tab.")


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _files(shell: str) -> dict[Path, str]:
    """Return the files with the script: fish finds its own by the program's name, the others' are read by a line."""
    if shell == "fish":
        folder = _home("XDG_CONFIG_HOME", ".config") / "fish/completions"
        return {folder / f"{name}.fish": _script(shell) for name in ("dagster-module-builder", "invoke", "inv")}
    return {_home("XDG_DATA_HOME", ".local/share") / f"dagster-module-builder/completion.{shell}": _script(shell)}


def _home(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or expanded(f"~/{default}"))


def _shell_settings(shell: str) -> Path | None:
    """Return the file that a new shell reads, behind its links: it may be kept elsewhere."""
    if shell == "fish":
        return None
    folder = Path((shell == "zsh" and os.environ.get("ZDOTDIR")) or expanded("~"))
    return (folder / f".{shell}rc").resolve()


def with_block(text: bytes, script: Path | None) -> bytes:
    """Return a shell's settings with the lines that read the script, or without them if there is none.

    Everything else stays byte for byte, what was written behind the block since, too. A line feed that was missing
    before the block is noted in it, so that it can be taken away again unless something stands behind it by then.

    Raises:
        UsageError: The block is damaged.
    """
    before, begin, rest = text.partition(_BEGIN)
    if begin:
        body, end, after = rest.partition(_END + b"\n")
        if not end:
            raise UsageError(
                f"The shell's settings have '{_BEGIN.decode()}' without '{_END.decode()}'. Remove these lines by hand."
            )
        text = (before[:-1] if body.startswith(_ADDED) and not after else before) + after
    if script is None:
        return text
    quoted = shlex.quote(str(script))
    missing = bool(text) and not text.endswith(b"\n")
    note = _ADDED if missing else b""
    block = _BEGIN + note + f"\n[ -r {quoted} ] && . {quoted}\n".encode() + _END + b"\n"
    return text + b"\n" * missing + block
