"""Answers to the questions of a deployment."""

from __future__ import annotations

ANSWERS = {
    "deployment": "yoda",
    "client": "Yoda & 'Söhne' \"Ltd\"",
    "hosts": "a.example, b.example:2222, [2001:db8::1]:22",
}
