"""What a ``.env`` says: read quickly where every reader agrees, and always as python-dotenv reads it."""

from __future__ import annotations

import io

from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from dagster_module_builder.formats import env_file

LINES = st.one_of(
    st.text(alphabet="AB_9='\"\\ #$-x\r\t\x0b\x85é.@", max_size=12),
    st.from_regex(r"[A-C_]{1,2}=('[^'\n]{0,5}'|[\w./:@%+,-]{0,5})", fullmatch=True),
    st.sampled_from(["", "# a comment", "export A=1", "A", "A='1' # why", "B='", "x'", 'C="$A"']),
)


@given(st.lists(LINES, max_size=5).map("\n".join))
@example("A='1'\nA=2\nB=\n# A=3\n")
@example("A='\nB=1\n'\n")
@example("A=1\r\nB='2'\r\n")
@example("# a\rA=1\n")
def test_values_are_those_that_python_dotenv_reads(text: str) -> None:
    wanted = dotenv_values(stream=io.StringIO(text), interpolate=False)
    assert env_file.named_values(text.encode()) == wanted
    assert list(env_file.named_values(text.encode())) == list(wanted)


def test_bytes_that_are_not_utf8_survive_where_asked_for() -> None:
    assert env_file.named_values(b"A='\xff'\n", "surrogateescape") == {"A": "\udcff"}
    assert env_file.values(b"A='\xff'\nB\n") == {"A": "\ufffd", "B": ""}
