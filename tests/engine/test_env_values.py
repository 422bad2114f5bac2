"""What a ``.env`` says: read quickly where every reader agrees, and always as python-dotenv reads it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from dagster_module_builder.shared_files.formats import env_file, env_value
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from tests.engine.env_values import PEM, WANTED, as_compose_reads


def as_dagster_reads(text: bytes) -> dict[str, str | None]:
    """Read a file as ``dotenv_values(path)`` does, which Dagster calls."""
    with io.TextIOWrapper(io.BytesIO(text), encoding="utf-8") as file:
        return dict(dotenv_values(stream=file))


def refusal(text: bytes) -> str:
    with pytest.raises(UnsafeEditError) as caught:
        env_file.contributions(text)
    return caught.value.reason


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
    wanted = as_dagster_reads(text.encode())
    assert env_file.named_values(text.encode()) == wanted
    assert list(env_file.named_values(text.encode())) == list(wanted)


def test_bytes_that_are_not_utf8_survive_where_asked_for() -> None:
    assert env_file.named_values(b"A='\xff'\n", "surrogateescape") == {"A": "\udcff"}
    assert env_file.values(b"A='\xff'\nB\n") == {"A": "\ufffd", "B": ""}


def test_every_wanted_text_can_be_said_to_both_readers(tmp_path: Path) -> None:
    """FAULTS C6: apostrophes, backslashes, JSON, keys of several lines."""
    wanted = {f"V{number}": value for number, value in enumerate(WANTED)}
    text = "".join(f"{name}={env_value.written(value)}\n" for name, value in wanted.items()).encode()
    (own,) = env_file.contributions(text)
    assert b"\n".join(own.mapping or ()) + b"\n" == text
    assert env_file.values(text) == wanted
    assert as_dagster_reads(text) == wanted
    assert as_compose_reads(tmp_path, text) == wanted


@given(st.text(alphabet="ab'\"\\$#{} \n\r=é", max_size=8))
@example("${a}")
@example("\\\\$a")
def test_what_is_written_is_read_as_it_was(value: str) -> None:
    if (raw := env_value.written(value)) is not None:
        assert as_dagster_reads(f"V={raw}\nW=1\n".encode()) == {"V": value, "W": "1"}
        assert env_file.values(f"V={raw}\nW=1\n".encode()) == {"V": value, "W": "1"}


def test_each_written_value_is_the_same_to_compose(tmp_path: Path) -> None:
    raws = (
        r"'a\b'",
        r"'a\nb'",
        r"'it\'s'",
        r'"a\\b"',
        r'"a\"b"',
        r'"a\tb\rc\a"',
        "'$a'",
        "'$'",
        "a=b==",
        "'a\nb'",
        '"a\nb"',
        "'\\\nb'",
    )
    text = "".join(f"V{number}={raw}\n" for number, raw in enumerate(raws)).encode()
    env_file.contributions(text)
    assert as_compose_reads(tmp_path, text) == as_dagster_reads(text) == env_file.values(text)


@pytest.mark.parametrize(
    ("refused", "says", "cured", "value"),
    [
        ("'/data/${TENANT}/in'", "write the value of the variable", "'/data/acme/in'", "/data/acme/in"),
        ('"/data/${TENANT}/in"', "write the value of the variable", "'/data/acme/in'", "/data/acme/in"),
        (r"'\\host\x'", "in double quotes", r'"\\\\host\\x"', r"\\host\x"),
        (r"'C:\'", "in double quotes", r'"C:\\"', "C:\\"),
        ("'it's'", r"apostrophe inside as \'", r"'it\'s'", "it's"),
        ('"say "hi""', r"double quote inside as \"", r'"say \"hi\""', 'say "hi"'),
        ('"a$b"', "in single quotes", "'a$b'", "a$b"),
        (r'"a\db"', r"or write \\", r'"a\\db"', r"a\db"),
        ("two words", "in single quotes", "'two words'", "two words"),
        ("'x' # why", "a comment above the line", "'x'", "x"),
    ],
)
def test_a_refused_value_names_a_cure_that_works(
    tmp_path: Path, refused: str, says: str, cured: str, value: str
) -> None:
    """FAULTS C5: what Dagster and Compose read differently is refused, and the way out is one."""
    said = refusal(f"V={refused}\n".encode())
    assert says in said
    assert refused.strip("'\"") not in said
    text = f"V={cured}\n".encode()
    env_file.contributions(text)
    assert as_compose_reads(tmp_path, text) == as_dagster_reads(text) == {"V": value}


def test_references_are_read_as_dagster_reads_them() -> None:
    """FAULTS C5: python-dotenv puts values in, also inside single quotes."""
    text = b"TENANT='acme'\nIN='/data/${TENANT}/in'\n"
    assert env_file.values(text)["IN"] == as_dagster_reads(text)["IN"] == "/data/acme/in"


def test_the_lines_of_a_value_are_no_variables() -> None:
    text = f"KEY='{PEM}'\nB=1\n".encode()
    assert env_file.keys(text) == ["KEY", "B"]


@pytest.mark.parametrize("name", ["PATH", "DAGSTER_HOME", "LD_PRELOAD", "PYTHONPATH", "COMPOSE_FILE", "DOCKER_HOST"])
def test_variables_of_the_machine_are_refused(name: str) -> None:
    """FAULTS C6, S15: and the name that the message asks for is taken."""
    assert "another name" in refusal(f"A=1\n{name}='/x'\n".encode())
    env_file.contributions(f"SALES_{name}='/x'\n".encode())


@pytest.mark.parametrize("text", [b"A='gr\xf6\xdfe'\n", b"# gr\xf6\xdfe\nA=1\n"])
def test_bytes_that_are_not_utf8_are_refused(text: bytes) -> None:
    """FAULTS C6: Dagster would not start with such a file."""
    assert "save the file as UTF-8" in refusal(text)
    env_file.contributions(text.decode("latin-1").encode())


#: What people write into a workspace's own ``.env``, and whether both readers read it alike.
OWN = {
    "two words": True, "'x' # why": True, '"x"  # why': True, "plain # why": True, "a#b": True, "it's": True,
    '"/data/${TENANT}/in"': True, "/data/${TENANT}/in": True, "'p$w'": True, "http://h/?a=b&c=d": True, "": True,
    "'/data/${TENANT}/in'": False, '"/data/${LATER}/in"': False, "a$b": False, '"a$b"': False, r"'\\host\x'": False,
    "$TENANT/in": False,
}  # fmt: skip


def test_what_a_person_wrote_is_found_where_the_readers_differ(tmp_path: Path) -> None:
    """FAULTS C5: judged as the readers themselves read it; what they read alike is no finding."""
    lines = [f"V{number}={raw}" for number, raw in enumerate(OWN)]
    text = "\n".join(["TENANT='acme'", *lines, "LATER='x'\n"]).encode()
    dagster, compose = as_dagster_reads(text), as_compose_reads(tmp_path, text)
    assert [dagster[f"V{number}"] == compose[f"V{number}"] for number in range(len(OWN))] == [
        alike or raw == '"/data/${LATER}/in"' for raw, alike in OWN.items()
    ]
    found = {entry.line - 1 for entry, _ in env_file.read_differently(text)}
    assert found == {number for number, alike in enumerate(OWN.values()) if not alike}
