"""Hypothesis strategies: shared files as people write them, and modules to put into them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.engine.folders import FIRST_PORT, fragments

COMMENTS = ("# a comment", "# services:", "#", "#: x  ", "# BEGIN of something", "# END: of it")
TEXTS = ("plain", "a # b", "# BEGIN: fake", "# END: fake", "key: value", "- item", "é \u2028 x", "services: {}")
NAMES = ("seo", "seo_stats", "a-b", "zz", "dagster-x")


@dataclass(frozen=True)
class Style:
    """How a person writes: columns a level, whether list items stand further in than their key."""

    step: int
    items_in: bool


styles = st.builds(Style, st.sampled_from([2, 4, 2, 3, 8, 1]), st.booleans())


def _text_block(draw: st.DrawFn, column: int) -> list[str]:
    kind = draw(st.sampled_from(["|", "|-", ">", "|+", "|2"]))
    margin = " " * (column + 2 if kind == "|2" else column + draw(st.integers(2, 5)))
    lines = draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3))
    blanks = [""] * draw(st.integers(0, 2))
    return [kind, *(margin + line for line in lines), *blanks]


def _items(draw: st.DrawFn, style: Style, column: int, values: list[str]) -> list[str]:
    at = column + (style.step if style.items_in else 0)
    return ["", *(" " * at + f"- {value}" for value in values)]


def _entries(style: Style, column: int, values: dict[str, str]) -> list[str]:
    return ["", *(" " * (column + style.step) + f"{key}: {value}" for key, value in values.items())]


def _null(draw: st.DrawFn) -> list[str]:
    return [draw(st.sampled_from(["", " ~", " null", "  # nothing yet"]))]


def _depends_on(draw: st.DrawFn, style: Style, column: int) -> list[str]:
    form = draw(st.sampled_from(["null", "empty", "flow", "list", "mapping"]))
    if form == "null":
        return _null(draw)
    if form == "empty":
        return [draw(st.sampled_from([" []", " {}", " [ ]  # none"]))]
    if form == "flow":
        return [
            draw(st.sampled_from([" [store]", " [ store, 'cache' ]  # two", " {store: {condition: service_healthy}}"]))
        ]
    if form == "list":
        return _items(draw, style, column, ["store", '"cache"'][: draw(st.integers(1, 2))])
    inner = " " * (column + 2 * style.step) + "condition: service_started"
    return [*_entries(style, column, {"store": ""}), inner]


def _environment(draw: st.DrawFn, style: Style, column: int) -> list[str]:
    form = draw(st.sampled_from(["null", "empty", "flow", "list", "mapping", "text"]))
    if form == "null":
        return _null(draw)
    if form == "empty":
        return [" {}"]
    if form == "flow":
        return [draw(st.sampled_from([" {A: b}", " [A=b, 'C=d']", ' { A: "b, c" , D: 1 }  # two']))]
    if form == "list":
        return _items(draw, style, column, ["A=b", "'C=d # e'"][: draw(st.integers(1, 2))])
    if form == "mapping":
        return _entries(style, column, {"A": "b", "C": '"d"', "E": ""})
    first, *rest = _text_block(draw, column + style.step)
    return ["", " " * (column + style.step) + f"A: {first}", *rest]


def _service(draw: st.DrawFn, style: Style, column: int, command: str) -> list[str]:
    margin = " " * column
    parts = [[f"{margin}image: x"], [f"{margin}command: {command}"]]
    if draw(st.booleans()):
        head, *rest = _depends_on(draw, style, column)
        parts.append([f"{margin}depends_on:{head}", *rest])
    if draw(st.booleans()):
        head, *rest = _environment(draw, style, column)
        parts.append([f"{margin}environment:{head}", *rest])
    if draw(st.booleans()):
        first, *rest = _text_block(draw, column)
        parts.append([f"{margin}x-note: {first}", *rest])
    if draw(st.booleans()):
        head, *rest = _items(draw, style, column, ["a:/a", '"b:/b"'])
        parts.append([f"{margin}volumes:{head}", *rest])
    if draw(st.integers(0, 3)) == 3:
        alias = draw(
            st.sampled_from(["<<: *common", "x-alias: *common", "x-alias:\n@  *common", "x-aliases:\n@- *common"])
        )
        parts.append((margin + alias.replace("@", margin)).split("\n"))
    return [line for part in draw(st.permutations(parts)) for line in part]


def _services(draw: st.DrawFn, style: Style) -> list[str]:
    if draw(st.integers(0, 9)) == 9:
        return ["services:" + draw(st.sampled_from(["", " {}", " ~", " {}  # none", " null"]))]
    commands = {"web": '["dagster-webserver"]', "daemon": "dagster-daemon run", "store": "postgres"}
    names = draw(st.permutations(list(commands)[: draw(st.integers(1, 3))]))
    lines = ["services:"]
    for name in names:
        quoted = draw(st.sampled_from([name, f'"{name}"']))
        lines += [" " * style.step + f"{quoted}:", *_service(draw, style, 2 * style.step, commands[name])]
    return lines


def _named(draw: st.DrawFn, style: Style, name: str) -> list[str]:
    form = draw(st.sampled_from(["null", "empty", "entries", "nested"]))
    if form == "null":
        return [f"{name}:" + _null(draw)[0]]
    if form == "empty":
        return [f"{name}: " + draw(st.sampled_from(["{}", "{ }", "{}  # none"]))]
    inner = [" " * (2 * style.step) + "name: x"] if form == "nested" else []
    return [f"{name}:", " " * style.step + "given:", *inner]


def _written(draw: st.DrawFn, lines: list[str]) -> bytes:
    """Write lines as bytes, with comments and blanks between, begun, broken and ended in one of the usual ways."""
    deepest = max((len(line) - len(line.lstrip()) for line in lines), default=0)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines)))
        margin = " " * draw(st.integers(0, deepest + 2))
        lines.insert(at, draw(st.sampled_from(["", "", margin, *(margin + comment for comment in COMMENTS)])))
    if draw(st.integers(0, 5)) == 5:
        lines = ["---", *lines]
    if draw(st.integers(0, 5)) == 5:
        lines = [*lines, "..."]
    endings = draw(st.sampled_from([["\n"], ["\n"], ["\r\n"], ["\n", "\r\n"]]))
    text = "".join(line + endings[number % len(endings)] for number, line in enumerate(lines))
    if draw(st.integers(0, 3)) == 3:
        text = text.removesuffix("\n").removesuffix("\r")
    return (b"\xef\xbb\xbf" if draw(st.integers(0, 5)) == 5 else b"") + text.encode()


@st.composite
def compose_files(draw: st.DrawFn) -> bytes:
    """A Compose file with one service or more that runs code, or with none at all."""
    style = draw(styles)
    sections = [_services(draw, style)]
    for name in ("volumes", "networks"):
        sections += [_named(draw, style, name)] if draw(st.booleans()) else []
    if draw(st.booleans()):
        sections.append([draw(st.sampled_from(["name: x", 'version: "3.8"']))])
    if draw(st.integers(0, 9)) == 9:
        sections = sections[1:]
    lines = [line for section in draw(st.permutations(sections)) for line in section]
    return _written(draw, ["x-common: &common {x-a: b}", *lines] if any("*common" in line for line in lines) else lines)


@st.composite
def workspace_files(draw: st.DrawFn) -> bytes:
    """A ``workspace.yaml``: with locations, without, with nothing in it."""
    style = draw(styles)
    form = draw(st.sampled_from(["missing", "null", "empty", "entries", "files"]))
    margin = " " * (style.step if style.items_in else 0)
    lines: list[str] = []
    if form == "null":
        lines = ["load_from:" + _null(draw)[0]]
    elif form == "empty":
        lines = ["load_from: []" + draw(st.sampled_from(["", "  # none"]))]
    elif form == "entries":
        lines = ["load_from:", f"{margin}- python_file:", f"{margin}    relative_path: a.py", f"{margin}- b.py"]
    elif form == "files":
        lines = ["load_from:", f'{margin}- "a.py"']
    if form != "missing" and draw(st.booleans()):
        lines.insert(draw(st.sampled_from([0, len(lines)])), "x-other: 1")
    return _written(draw, lines)


ENV_LINES = (
    b"A='1'",
    b"B=2",
    b"# c",
    b"",
    b"export C=3",
    b'D="two',
    b'lines"',
    b"\xff=\xfe",
    b"E='# BEGIN: fake'",
    b"  F = 5",
)
DOCKER_LINES = (
    b"RUN a \\\n  && b",
    b"# c",
    b"",
    b"RUN <<EOF\n# BEGIN: fake\nEOF",
    b"USER 1000",
    b'CMD ["x"]',
    b"COPY a b",
    b"RUN echo $((1<<3))",
    b"ENV A=\xe9",
    b"FROM python AS two",
)


@st.composite
def line_files(draw: st.DrawFn, lines: tuple[bytes, ...], first: tuple[bytes, ...] = ()) -> bytes:
    """A file of lines, ended in any way."""
    chosen = [*first, *draw(st.lists(st.sampled_from(lines), max_size=6))]
    text = b"".join(line + b"\n" for line in chosen)
    if draw(st.booleans()):
        text = text.replace(b"\n", b"\r\n")
    return text.removesuffix(b"\n").removesuffix(b"\r") if draw(st.booleans()) else text


shared_files = st.fixed_dictionaries(
    {
        "workspace": workspace_files(),
        "compose": compose_files(),
        "env": line_files(ENV_LINES) | st.none(),
        "dockerfile": line_files(DOCKER_LINES, (b"FROM python",)) | st.none(),
    }
)


def module_fragments(name: str, version: int) -> dict[str, bytes | None]:
    """Return a module's fragments in one of its versions: with a database, another password, next to nothing."""
    texts = fragments(name, FIRST_PORT + NAMES.index(name), secret=f"v{version}")
    found: dict[str, bytes | None] = dict(
        zip(("workspace", "env", "compose", "dockerfile"), texts.values(), strict=True)
    )
    if version == 2:
        found |= {"env": b"# nothing\n", "compose": b"# nothing\n", "dockerfile": None}
    if version == 3:
        snake = name.replace("-", "_")
        found["compose"] = (
            f"services:\n    {snake}_code:\n        image: x\n        command: |\n          # not a comment\n\n"
            f"            deeper\n        labels: {{a: b}}\n\n    # a last word\nnetworks:\n    {snake}_net:\n"
        ).encode()
        found["dockerfile"] = b"RUN a \\\n  b\n\nRUN <<EOF\n  x\nEOF\n"
    return found


#: What is done to a workspace: modules put in (a version each) or taken out, together in one plan.
steps = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0, 1, 2, 3, 0, None]), min_size=1, max_size=3),
    min_size=1,
    max_size=6,
)
