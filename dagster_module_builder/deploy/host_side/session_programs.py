"""Programs that start the command of a session, and end it: on this host and in its containers."""

from __future__ import annotations

#: Starts a session's command. With a terminal it becomes that command. Without one, nothing else would tell the command
#: that the person is gone, so it watches whether its output is still read, and else ends the command with its children.
#: Docker leaves what runs in a container to itself when its command line ends, so that is ended by another command.
STARTER = b'''\
"""Start the command in session.json, which is beside this file."""

import json
import os
import select
import signal
import subprocess
import sys
import threading

folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "session.json")) as file:
    session = json.load(file)
os.environ.update(session["environ"])
os.chdir(session["folder"])
command = session["command"]


class HungUp(Exception):
    """The terminal is gone. The kernel tells this process alone, as the one that has the session."""


def hang_up(number, _):
    raise HungUp


def number_of(status):
    return status if status >= 0 else 128 - status


def end_there():
    if session["end"]:
        null = subprocess.DEVNULL
        subprocess.call(session["end"], stdin=null, stdout=null, stderr=null, start_new_session=True)


def serve_terminal():
    """Return the command's exit status; what runs in a container ends with the terminal."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, hang_up)
    try:
        status = subprocess.Popen(command).wait()
    except HungUp:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.killpg(os.getpgrp(), signal.SIGHUP)
        status = -signal.SIGHUP
    if status < 0:
        end_there()
    return number_of(status)


def serve_pipes():
    """Exit with the command's status, or end it when its output is read no more."""
    child, leaving = subprocess.Popen(command, start_new_session=True), []

    def await_end():
        status = child.wait()
        if not leaving:
            os._exit(number_of(status))

    threading.Thread(target=await_end, daemon=True).start()
    gone = select.poll()
    gone.register(1, 0)
    gone.poll()
    leaving.append(True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    end_there()


try:
    if not session["terminal"]:
        serve_pipes()
    elif session["end"]:
        sys.exit(serve_terminal())
    else:
        os.execvp(command[0], command)
except OSError as error:
    sys.stderr.write("%s: %s\\n" % (command[0], error.strerror))
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
'''
#: Ends the processes in a container that inherited a text: of a session whose person is gone. Two seconds for each
#: signal; a shell ends at the first one only, and what runs in it maybe at the second.
END = """\
for signal in HUP TERM KILL; do
    for again in 1 2 3 4 5 6 7 8; do
        found=
        for path in $(grep -ls "$0" /proc/[0-9]*/environ); do
            path=${path#/proc/}
            found="$found ${path%/environ}"
        done
        [ "$found" ] || exit 0
        [ $again -gt 1 ] || kill -s $signal $found 2>/dev/null
        sleep 0.25
    done
done
"""
#: Starts a command in Dagster's container, with the variables in a file and a folder before its ``PATH``.
INSIDE = """\
import json, os, sys
path = os.environ.get("PATH", os.defpath)
with open(sys.argv[1]) as file:
    os.environ.update(json.load(file))
os.environ["PATH"] = os.pathsep.join(filter(None, [sys.argv[2], path]))
command = sys.argv[3:]
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.stderr.write("%s: %s\\n" % (command[0], error.strerror))
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
