"""Hosts that break every rule of the conversation, and what that takes of the one who speaks to them.

``python hostile_host.py`` speaks to each of them in a separate process and says, as JSON, what came of it: the
error's kind and text, the seconds, and the bytes of memory beyond what the process had before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

#: What a host writes; each begins with the program below.
HOSTS = {
    "endless progress": "hello()\nwhile 1: say(b'{\"progress\": \"' + b'x' * 900 + b'\"}\\n')",
    "endless signs of life": "hello()\nwhile 1: say(b'\\n' * 65536)",
    "endless line": "hello()\nwhile 1: say(b'x' * 65536)",
    "endless small messages": "hello()\nwhile 1: say(b'1\\n' * 32768)",
    "endless complaints": "hello()\nwhile 1: sys.stderr.buffer.write(b'x' * 65536)",
    "endless noise": "while 1: say(b'noise\\n' * 4096)",
    "endless noise without a line": "while 1: say(b'x' * 65536)",
    "many mappings": "hello(); say(b'[' + b'{},' * 2600000 + b'{}]\\n')",
    "many mappings in an answer": "hello(); ok(b'{\"log\": [' + b'{},' * 130000 + b'1]}')",
    "many names": "hello(); ok(b'{' + b','.join(b'\"%d\": 1' % n for n in range(190000)) + b'}')",
    "deep lists": "hello(); say(b'[' * 3000000 + b'\\n')",
    "deep mappings": "hello(); ok(b'{\"a\": ' * 900 + b'1' + b'}' * 900)",
    "wide characters": "hello(); say(b'{\"progress\": \"' + b'x' * 8000000 + b'\\\\ud83d\\\\ude00\"}\\n')",
    "a long number": "hello(); ok(b'{\"port\": ' + b'9' * 5000000 + b'}')",
    "a number that is none": "hello(); ok(b'{\"port\": NaN}')",
    "another answer": "hello(); ok(b'{\"pulled\": true}')",
    "an answer twice": "hello(); ok(b'{\"log\": []}'); ok(b'{\"log\": []}')",
    "no text": 'hello(); say(b\'{"progress": "\\xff"}\\n\')',
    "a list": "hello(); say(b'[]\\n')",
    "both": 'hello(); say(b\'{"ok": true, "code": "x", "message": "x", "details": {}}\\n\')',
    "a failure that is none": 'hello(); say(b\'{"ok": false, "result": {}}\\n\')',
    "odd details": "hello(); failed(b'manifest', b'{\"manifest\": \"x\"}')",
    "details where there are none": "hello(); failed(b'x', b'{\"manifest\": \"x\"}')",
    "a long code": "hello(); failed(b'x' * 999, b'{}')",
    "a long message": "hello(); say(b'{\"progress\": \"' + b'x' * 5000 + b'\"}\\n')",
    "silence": "hello(); time.sleep(60)",
    "a slow answer": "hello()\nwhile 1: say(b'x'); time.sleep(0.05)",
    "a slow greeting": "while 1: say(b'x'); time.sleep(0.05)",
    "a late answer": "hello(); time.sleep(4); ok(b'{\"log\": []}')",
    "a deep greeting": "say(b'{\"hello\":' + b'[' * 200000 + b'\\n'); time.sleep(60)",
    "an odd greeting": 'say(b\'{"hello": "--output=/x", "pid": []}\\n\'); time.sleep(60)',
    "the end": "",
    "the end behind half a message": "hello(); say(b'{\"ok\": true')",
}
PROGRAM = r"""
import os, sys, time
def say(data):
    while data:
        data = data[os.write(1, data):]
def hello():
    say(b'\n{"hello": 1, "pid": 2}\n')
def ok(result):
    say(b'{"ok": true, "result": ' + result + b'}\n')
def failed(code, details):
    say(b'{"ok": false, "code": "' + code + b'", "message": "x", "details": ' + details + b'}\n')
"""
#: How many of them are spoken to at once.
AT_ONCE = 4


def speak(name: str, folder: Path) -> dict[str, Any]:
    """Speak to a host; return what came of it."""
    from dagster_module_builder.base.errors import BuilderError  # noqa: PLC0415
    from dagster_module_builder.deploy.connection import conversation  # noqa: PLC0415
    from dagster_module_builder.deploy.connection.address import Address  # noqa: PLC0415
    from dagster_module_builder.deploy.connection.channels import OpenSshChannel  # noqa: PLC0415
    from dagster_module_builder.deploy.connection.remote import Remote  # noqa: PLC0415

    # The documented ones are a minute and hours.
    conversation.GREETED_WITHIN, conversation.ANSWERED_WITHIN = 2.0, 2.0

    class Hostile(Remote):
        def session(self, _: str) -> OpenSshChannel:
            return OpenSshChannel([sys.executable, "-IS", "-c", PROGRAM + HOSTS[name]])

    os.chdir(folder)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    error: BaseException | None = None
    remote = Hostile(Address("hostile.example", folder / "known_hosts"))
    talk = conversation.Conversation(remote, lambda _: None)
    try:
        talk.open()
        talk.ask("log", module="sales")
        talk.ask("port")
    except BuilderError as told:
        error = told
    finally:
        talk.close()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    return {"error": type(error).__name__, "text": str(error), "seconds": time.monotonic() - begun, "grown": grown}


def main(folder: Path) -> None:
    """Speak to every host, each in a child of this process, which has imported what that takes."""
    import fastjsonschema  # noqa: F401, PLC0415

    from dagster_module_builder.deploy.connection import conversation  # noqa: PLC0415

    conversation.program()
    speaking = 0
    for name in HOSTS:
        if speaking == AT_ONCE:
            os.wait()
            speaking -= 1
        if os.fork() == 0:
            try:
                # In one piece: others write to the same pipe.
                os.write(1, json.dumps({"host": name, **speak(name, folder)}).encode() + b"\n")
            finally:
                os._exit(0)
        speaking += 1
    while speaking:
        os.wait()
        speaking -= 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
