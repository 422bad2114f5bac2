"""Sections, indentation, what follows, line endings, ends of files, ``depends_on``."""

from __future__ import annotations

import codecs
from typing import Any

import pytest
import yaml

from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.shared_files.formats.yaml_file import YamlFile
from tests.engine.merging import PATH, dependency, location, merged, service, without

FILE = YamlFile("docker-compose.yml")
SERVICE = b"  # BEGIN: seo\n  seo_db:\n    image: x\n  # END: seo\n"


def put(text: bytes) -> bytes:
    """Put a service in, see that it can be read there and taken out again; return the file with it."""
    found = merged(FILE, text, {"seo": [service()]})
    assert without(FILE, found, "seo") == text
    assert found.text is not None
    data = yaml.load(found.text, Loader=yaml.CSafeLoader)
    assert data["services"]["seo_db"] == {"image": "x"}
    assert {**data, "services": 0} == {**(yaml.load(text, Loader=yaml.CSafeLoader) or {}), "services": 0}
    return found.text


SECTIONS = {
    "missing": (b"name: x\n", b"name: x\nservices:\n" + SERVICE),
    "null": (b"services:\nname: x\n", b"services:\n" + SERVICE + b"name: x\n"),
    "null, told": (b"services: null\nname: x\n", b"services:\n" + SERVICE + b"name: x\n"),
    "null as a tilde, with a comment": (b"services: ~  # later\n", b"services:  # later\n" + SERVICE),
    "null, with comments": (b"services:\n  # none\nname: x\n", b"services:\n  # none\n" + SERVICE + b"name: x\n"),
    "empty": (b"services: {}\nname: x\n", b"services:\n" + SERVICE + b"name: x\n"),
    "empty, with a comment": (b"services: { }  # none\n", b"services:  # none\n" + SERVICE),
    "quoted": (b'"services": {}\n', b'"services":\n' + SERVICE),
    "filled": (b"services:\n  a:\n    image: x\n", b"services:\n  a:\n    image: x\n" + SERVICE),
    "anchored": (b"services: &all\n  a:\n    image: x\n", b"services: &all\n  a:\n    image: x\n" + SERVICE),
    "tagged": (b"services: !!map\n  a:\n    image: x\n", b"services: !!map\n  a:\n    image: x\n" + SERVICE),
}


@pytest.mark.parametrize("form", SECTIONS)
def test_a_section_takes_blocks_in_whichever_form_it_is(form: str) -> None:
    before, after = SECTIONS[form]
    assert put(before) == after


REFUSED_SECTIONS = {
    "in flow style": (b"name: x\nservices: {a: {image: x}}\n", 2, "flow style"),
    "in flow style over several lines": (b"services: {\n  }\n", 1, "flow style"),
    "an alias": (b"x-a: &a\n  b: {}\nservices: *a\n", 3, "alias"),
    "anchored and used elsewhere": (b"services: &a\n  b: {}\nx-a: *a\n", 1, "alias"),
    "a list": (b"name: x\nservices:\n  - a\n", 2, "list"),
    "a text": (b"services: hello\n", 1, "text"),
    "inherited": (b"x-a: &a\n  services: {}\nb: 1\n<<: *a\n", 4, "merge key"),
    "a null on a separate line": (b"services:\n  ~\n", 2, "delete it"),
    "twice": (b"services:\n  a: {}\nname: x\nservices:\n  b: {}\n", 4, "is repeated"),
    "behind a question mark": (b"? services\n: a: {}\n", 1, "'?'"),
    "in a file that is a list": (b"- a\n", 1, "block style"),
    "in a file in flow style": (b"{services: {}}\n", 1, "block style"),
}


def refused(text: bytes) -> str:
    with pytest.raises(DamagedFileError) as caught:
        merged(FILE, text, {"seo": [service()]})
    return str(caught.value)


@pytest.mark.parametrize("form", REFUSED_SECTIONS)
def test_a_section_that_cannot_take_blocks_is_refused_with_its_line(form: str) -> None:
    text, line, word = REFUSED_SECTIONS[form]
    said = refused(text)
    assert said.startswith(f"{PATH}:{line}: ")
    assert word in said
    assert "Nothing was changed" in said


@pytest.mark.parametrize("items", [b"- a.py\n", b"  - a.py\n", b"-   a.py\n", b"    - python_file: a.py\n"])
def test_items_stand_where_their_siblings_stand(items: bytes) -> None:
    text = b"load_from:\n" + items
    found = merged(FILE, text, {"seo": [location()]})
    margin = items[: items.index(b"-")]
    lines = [b"# BEGIN: seo", b"- python_module:", b"    module_name: seo", b"# END: seo"]
    assert found.text == text + b"".join(margin + line + b"\n" for line in lines)
    assert without(FILE, found, "seo") == text


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
def test_indentation_is_the_siblings_and_empty_sections_follow_the_file(width: int) -> None:
    margin = b" " * width
    text = b"services:\n" + margin + b"a:\n" + 2 * margin + b"image: x\nvolumes: {}\n"
    found = put(text)
    assert b"\n" + margin + b"# BEGIN: seo\n" + margin + b"seo_db:\n" in found
    volume = merged(FILE, text, {"seo": [service(), dependency("a")]})
    assert volume.text is not None
    assert 2 * margin + b"depends_on:\n" + 3 * margin + b"# BEGIN: seo\n" in volume.text
    assert without(FILE, volume, "seo") == text


def test_texts_keep_their_lines_wherever_the_block_is_put() -> None:
    body = (
        b"seo_db:",
        b"  command: |2",
        b"      two more",
        b"",
        b"    # no comment",
        b"  note: >-",
        b"    a",
        b"",
        b"    b",
    )
    text = b"services:\n        a:\n                image: x\n"
    given = type(service())(("services",), mapping=body)
    found = merged(FILE, text, {"seo": [given]})
    assert yaml.safe_load(found.text or b"")["services"]["seo_db"] == yaml.safe_load(b"\n".join(body))["seo_db"]
    assert without(FILE, found, "seo") == text


@pytest.mark.parametrize(
    ("text", "line"),
    [(b"services:\n\ta: {}\n", 2), (b"a: 1\nservices:\n  a:\n  \timage: x\n", 4), (b"\tservices:\n", 1)],
)
def test_a_tab_in_the_indentation_is_refused_with_its_line(text: bytes, line: int) -> None:
    said = refused(text)
    assert said.startswith(f"{PATH}:{line}: ")
    assert "tab" in said


#: What stands behind the last service, with ``@`` where its block goes.
FOLLOWING = [
    b"services:\n  a:\n    image: x\n@volumes:\n  d:\n",
    b"services:\n  a:\n    image: x\n@\nvolumes:\n  d:\n",
    b"services:\n  a:\n    image: x\n@\n# What outlives.\nvolumes:\n  d:\n",
    b"services:\n  a:\n    image: x\n    # of a\n  # of the services\n@# of the volumes\nvolumes:\n  d:\n",
    b"services:\n  a:\n    image: x\n\n  # apart\n@\nvolumes:\n  d:\n",
    b"services:\n  a:\n    text: |\n      x\n\n      # text\n@\n\nvolumes:\n  d:\n",
    b"services:\n  a:\n    text: |+\n      x\n\n\n@volumes:\n  d:\n",
    b"services:\n  a:\n    text: >-\n      x\n      # text\n@# no text\nvolumes:\n  d:\n",
    b"services:\n  a:\n    text: plain\n      and more\n@volumes:\n  d:\n",
    b'services:\n  a:\n    text: "quoted\n\n# text"\n@volumes:\n  d:\n',
    b"services:\n  a:\n    text: [a,\n  b,\n  # c\n      ]\n@volumes:\n  d:\n",
    b"services:\n  a:\n    ports:\n    - 1:1\n@volumes:\n  d:\n",
    b"services:\n  a:\n@volumes:\n  d:\n",
    b"x-n: &n {a: b}\nservices:\n  a:\n    <<: *n\n@volumes:\n  d:\n",
    b"x-n: &n back\nservices:\n  a:\n    networks:\n    - front\n    - *n\n@volumes:\n  d:\n",
    b"x-n: &n back\nservices:\n  a:\n    image:\n      *n\n@volumes:\n  d:\n",
    b"services:\n  a: &a\n    image: x\n  b: *a\n@volumes:\n  d:\n",
    b"services:\n  a:\n    self: &s\n      - *s\n@volumes:\n  d:\n",
    b"services:\n  a:\n    image: x\n@",
    b"services:\n  a:\n    image: x\n@...\n# the end\n",
]


@pytest.mark.parametrize("text", FOLLOWING)
def test_a_block_goes_behind_the_last_leaf_and_its_comments(text: bytes) -> None:
    assert put(text.replace(b"@", b"")) == text.replace(b"@", SERVICE)


ENDINGS = {
    "LF": b"services:\n  a:\n    image: x\nname: x\n",
    "CRLF": b"services:\r\n  a:\r\n    image: x\r\nname: x\r\n",
    "mixed": b"services:\n  a:\r\n    image: x\r\nname: x\n",
    "LF beside CRLF": b"services:\r\n  a:\r\n    image: x\nname: x\r\n",
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_block_takes_the_line_ending_above_it(kind: str) -> None:
    text = ENDINGS[kind]
    ending = b"\r\n" if b"image: x\r\n" in text else b"\n"
    head, tail = text.split(b"name: x")
    assert put(text) == head + SERVICE.replace(b"\n", ending) + b"name: x" + tail


@pytest.mark.parametrize("form", SECTIONS)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_the_byte_order_mark_stays_first(form: str, ending: bytes) -> None:
    before, after = (codecs.BOM_UTF8 + text.replace(b"\n", ending) for text in SECTIONS[form])
    assert put(before) == after


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_lines_break_at_line_feeds_only(character: str) -> None:
    text = f"x-a: 'b{character}c'\nservices:\n  a:\n    image: 'b{character}c'\nname: x\n".encode()
    assert put(text) == text.replace(b"name:", SERVICE + b"name:")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a: 1\nservices:\n  a: \x0c\n", 3),
        (b"services:\n  a: \x00\n", 2),
        (b"services:\r  a: {}\r", 1),
        ("services:\u2028  a: {}\n".encode(), 1),
        (b"services:\n  a: b\n  c: \xe9\n", 3),
    ],
)
def test_characters_that_yaml_or_its_lines_do_not_allow_are_refused(text: bytes, line: int) -> None:
    assert refused(text).startswith(f"{PATH}:{line}: ")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("form", SECTIONS)
def test_a_missing_line_feed_at_the_end_stays_missing(form: str, ending: bytes) -> None:
    put(SECTIONS[form][0].replace(b"\n", ending).removesuffix(ending))


@pytest.mark.parametrize("text", [b"", b"\n", b"\n\n", b"# none", b"---\n", b"---", codecs.BOM_UTF8])
def test_a_file_without_contents_takes_a_section(text: bytes) -> None:
    assert put(text).endswith(b"services:\n" + SERVICE)


@pytest.mark.parametrize("end", [b"...\n", b"...", b"... # end\n", b"...\n...\n"])
def test_blocks_go_before_the_end_of_the_document(end: bytes) -> None:
    assert put(b"---\nname: x\n" + end) == b"---\nname: x\nservices:\n" + SERVICE + end


def test_several_documents_are_refused() -> None:
    assert refused(b"services:\n  a: {}\n---\nservices:\n").startswith(f"{PATH}:3: ")


def test_the_first_to_leave_does_not_take_the_line_feed_of_the_second() -> None:
    text = b"services:\n  web:\n    image: x\n    depends_on: [store]"
    both = merged(FILE, text, {"seo": [service(), dependency()], "zz": [service("zz_db")]})
    one = merged(FILE, both.text or b"", {"seo": []}, both)
    assert one.text == text + b"\n" + SERVICE.replace(b"seo", b"zz")
    assert without(FILE, one, "zz") == text


#: Forms of ``depends_on``, and what they are with a module in them.
DEPENDS_ON = {
    "missing": (b"", b"    depends_on:\n      @map\n"),
    "null": (b"    depends_on:\n", b"    depends_on:\n      @map\n"),
    "null, told": (b"    depends_on: ~\n", b"    depends_on:\n      @map\n"),
    "empty": (b"    depends_on: []\n", b"    depends_on:\n      @map\n"),
    "mapping": (b"    depends_on:\n      a: {}\n", b"    depends_on:\n      a: {}\n      @map\n"),
    "flow mapping": (b"    depends_on: {a: {}}  # c\n", b"    depends_on:  # c\n      a: {}\n      @map\n"),
    "list": (b"    depends_on:\n      - a\n", b"    depends_on:\n      - a\n      @list\n"),
    "list at the key": (b"    depends_on:\n    - a\n", b"    depends_on:\n    - a\n    @list\n"),
    "flow list": (b"    depends_on: [a, 'b']\n", b"    depends_on:\n      - a\n      - 'b'\n      @list\n"),
    "merged with its own": (
        b"    <<: *c\n    depends_on:\n      - a\n",
        b"    <<: *c\n    depends_on:\n      - a\n      @list\n",
    ),
}
BLOCKS = {
    b"@map": [b"# BEGIN: seo", b"seo_db:", b"  condition: service_healthy", b"# END: seo"],
    b"@list": [b"# BEGIN: seo", b"- seo_db", b"# END: seo"],
}


def with_blocks(text: bytes) -> bytes:
    lines: list[bytes] = []
    for line in text.splitlines():
        margin, word = line[: len(line) - len(line.lstrip())], line.strip()
        lines += [margin + inner for inner in BLOCKS.get(word, [word])]
    return b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("following", [b"", b"  b:\n    image: x\n", b"volumes: {}\n"])
@pytest.mark.parametrize("form", DEPENDS_ON)
def test_depends_on_keeps_its_form(form: str, following: bytes) -> None:
    before, after = DEPENDS_ON[form]
    head = b"x-c: &c\n  depends_on: [z]\nservices:\n  web:\n    image: x\n"
    found = merged(FILE, head + before + following, {"seo": [dependency()]})
    assert found.text == head + with_blocks(after) + following
    assert without(FILE, found, "seo") == head + before + following


INHERITED: dict[str, tuple[bytes, int]] = {
    "a merge key": (b"x-c: &c\n  depends_on: [a]\nservices:\n  web:\n    <<: *c\n", 5),
    "a list of merge keys": (b"x-b: &b {}\nx-c: &c\n  depends_on: [a]\nservices:\n  web:\n    <<: [*b, *c]\n", 6),
    "a merge key of a merge key": (
        b"x-c: &c\n  depends_on: [a]\nx-d: &d\n  <<: *c\nservices:\n  web:\n    <<: *d\n",
        7,
    ),
    "an alias": (b"x-c: &c [a]\nservices:\n  web:\n    depends_on: *c\n", 4),
    "an anchor for others": (b"services:\n  web:\n    depends_on: &c [a]\n  b:\n    depends_on: *c\n", 3),
    "a service that others are": (b"services:\n  web: &w\n    image: x\n  b: *w\n", 2),
    "a service that others inherit": (b"services:\n  web: &w\n    image: x\n  b:\n    <<: *w\n", 2),
}


@pytest.mark.parametrize("form", INHERITED)
def test_what_is_shared_with_other_services_is_refused_with_its_line(form: str) -> None:
    text, line = INHERITED[form]
    with pytest.raises(DamagedFileError) as caught:
        merged(FILE, text, {"seo": [dependency()]})
    assert str(caught.value).startswith(f"{PATH}:{line}: ")


def test_a_service_in_flow_style_is_written_out_and_back() -> None:
    text = b"services:\n  web: {image: x}  # c\n"
    found = merged(FILE, text, {"seo": [dependency()]})
    assert b"  web:  # c\n    image: x\n    depends_on:\n" in (found.text or b"")
    assert without(FILE, found, "seo") == text


def test_a_second_module_takes_the_same_place_and_the_last_one_takes_it_away() -> None:
    text = b"services:\n  web:\n    image: x\n"
    first = merged(FILE, text, {"seo": [dependency()]})
    second = merged(FILE, first.text or b"", {"aa": [dependency(on="aa_db")]}, first)
    straight = merged(FILE, text, {"aa": [dependency(on="aa_db")], "seo": [dependency()]})
    assert second.text == straight.text
    third = merged(FILE, second.text or b"", {"seo": []}, second)
    assert third.text == merged(FILE, text, {"aa": [dependency(on="aa_db")]}).text
    assert without(FILE, third, "aa") == text


def test_what_an_owner_writes_into_a_made_section_stays() -> None:
    text = b"name: x\n"
    found = merged(FILE, text, {"seo": [service()]})
    edited = (found.text or b"") + b"  mine:\n    image: y\n"
    after = merged(FILE, edited, {"seo": []}, found).text
    data: dict[str, Any] = yaml.safe_load(after or b"")
    assert data == {"name": "x", "services": {"mine": {"image": "y"}}}
