"""What a program of a module writes on a person's terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable

#: Shows a program as ``workspace.dev`` does, which leaves Ctrl-C to it.
READER = """\
import signal, sys
from dagster_module_builder.programs import shown_programs
with shown_programs.started([sys.executable, "-c", sys.argv[1]], ("stdout", "stderr")) as running:
    signal.signal(signal.SIGINT, lambda *_: None)
    sys.exit(running.wait())
"""
EVIL = r"\x1b]52;c;ZXZpbA==\x07\x1b[2K\x1b[1A\r\x9b1m\x1b[31mred\x1b[0m ä\n"


def on_a_terminal(program: str, answer: Callable[[str], str]) -> tuple[str, int]:
    """Run a program on a separate terminal; what was shown so far is answered. Return all of it, and the status."""
    process, screen = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", READER, program])
    shown = ""
    while True:
        try:
            more = os.read(screen, 65536)
        except OSError:  # Linux's way to say that nothing has the terminal open any more
            break
        shown += more.decode()
        os.write(screen, answer(shown).encode())
    os.close(screen)
    return shown.replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_control_characters_are_escaped_and_colours_are_not() -> None:
    """FAULTS S8: as Dagster shows the log of a module."""
    program = f"import sys; print('{EVIL}', end='', file=sys.stderr); print(sys.stdout.isatty(), sys.stderr.isatty())"
    shown, status = on_a_terminal(program, lambda _: "")
    escaped = "\\x1b]52;c;ZXZpbA==\\x07\\x1b[2K\\x1b[1A\\r\\x9b1m\x1b[31mred\x1b[0m ä\n"
    assert escaped in shown
    assert "True True\n" in shown
    assert status == 0


def test_a_line_is_shown_before_it_ends() -> None:
    """The program goes on only when its question was seen."""
    program = "print('question ', end='', flush=True); print('answer', input()); raise SystemExit(3)"
    shown, status = on_a_terminal(program, lambda shown: "yes\n" if shown == "question " else "")
    assert shown.endswith("answer yes\n")
    assert status == 3


def test_ctrl_c_reaches_the_program_and_its_last_words_are_shown() -> None:
    program = """
try:
    print('working', flush=True)
    import time
    time.sleep(60)
except KeyboardInterrupt:
    print('cleaned up')
    raise SystemExit(4)
"""
    shown, status = on_a_terminal(program, lambda shown: "\x03" if shown.endswith("working\r\n") else "")
    assert "cleaned up\n" in shown
    assert status == 4


def test_a_child_that_outlives_the_program_is_not_waited_for() -> None:
    program = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdin=-3, start_new_session=True).pid)"
    shown, status = on_a_terminal(program, lambda _: "")
    os.kill(int(shown), 15)
    assert status == 0


def test_what_is_no_terminal_gets_every_byte() -> None:
    program = f"import sys; sys.stdout.buffer.write(b'{EVIL.replace('ä', '')}'); print(sys.stdout.isatty())"
    done = subprocess.run([sys.executable, "-c", READER, program], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"\x1b]52;c;ZXZpbA==\x07\x1b[2K\x1b[1A\r\x9b1m\x1b[31mred\x1b[0m \nFalse\n"
