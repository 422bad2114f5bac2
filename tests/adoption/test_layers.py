"""Where a file of an image comes from, as its Dockerfile says."""

from __future__ import annotations

import pytest

from dagster_module_builder.adoption.layers import layers_of
from dagster_module_builder.compose.image import read_image

FILE = "/srv/flow/workspace.yaml"
#: What a Dockerfile says, and where in the build context the file may come from, the likeliest place first.
SOURCES = {
    "COPY workspace.yaml /srv/flow/": ["workspace.yaml"],
    "COPY conf/workspace.yaml /srv/flow/": ["conf/workspace.yaml"],
    "COPY conf/local.yaml /srv/flow/workspace.yaml": ["conf/local.yaml"],
    "COPY dagster.yaml workspace.yaml /srv/flow/": ["workspace.yaml"],
    'COPY ["workspace.yaml", "/srv/flow/"]': ["workspace.yaml"],
    "COPY --chown=dagster:dagster workspace.yaml /srv/flow/": ["workspace.yaml"],
    "COPY *.yaml /srv/flow/": ["workspace.yaml"],
    "COPY . /srv/flow": ["workspace.yaml"],
    "COPY flows /srv": ["flows/flow/workspace.yaml"],
    "ADD conf /srv/flow/": ["conf/workspace.yaml"],
    "WORKDIR /srv\nWORKDIR flow\nCOPY workspace.yaml .": ["workspace.yaml"],
    "ENV HOME_OF=/srv/flow\nCOPY workspace.yaml $HOME_OF/": ["workspace.yaml"],
    "ENV HOME_OF /srv/flow\nCOPY workspace.yaml ${HOME_OF}/": ["workspace.yaml"],
    "ARG HOME_OF=/srv/flow\nENV D=$HOME_OF\nWORKDIR $D\nCOPY workspace.yaml ./": ["workspace.yaml"],
    "ARG PLACE=/elsewhere\nCOPY workspace.yaml $PLACE/": ["workspace.yaml"],
    "COPY conf /tmp/conf\nRUN mkdir -p /srv/flow && cp /tmp/conf/workspace.yaml /srv/flow/": ["conf/workspace.yaml"],
    "COPY a.yaml /srv/flow/workspace.yaml\nCOPY b.yaml /srv/flow/workspace.yaml": ["b.yaml", "a.yaml"],
    "COPY workspace.yaml /elsewhere/": [],
    "COPY --from=registry.example/flows /srv/flow /srv/flow": [],
    "RUN echo 'load_from: []' > /srv/flow/workspace.yaml": [None],
    "COPY <<END /srv/flow/workspace.yaml\nload_from: []\nEND": [None],
}


@pytest.mark.parametrize(("lines", "sources"), SOURCES.items())
def test_a_file_is_traced_to_what_is_copied(lines: str, sources: list[str | None]) -> None:
    image = read_image(f"FROM python:3.12\n{lines}\n".encode())
    found = [source for source, _ in layers_of(image, None, {"PLACE": "/srv/flow"}).sources(FILE)]
    # A source that has the name of a folder may also be one: the files on the disk decide.
    likely = [source for source in found if source is None or not source.endswith(".yaml/workspace.yaml")]
    assert list(dict.fromkeys(likely)) == sources


@pytest.mark.parametrize("stage", ["built", "BUILT", "0"])
def test_a_file_is_traced_through_stages(stage: str) -> None:
    text = f"FROM python:3.12 AS built\nCOPY conf /made\n\nFROM python:3.12\nCOPY --from={stage} /made /srv/flow\n"
    assert next(layers_of(read_image(text.encode()), None, {}).sources(FILE)) == ("conf/workspace.yaml", 1)


def test_a_stage_has_what_its_base_has() -> None:
    text = (
        b"FROM python:3.12 AS base\nWORKDIR /srv/flow\nCOPY workspace.yaml .\n\nFROM base AS page\nENV A=1\nFROM base\n"
    )
    layers = layers_of(read_image(text), "page", {})
    assert [source for source, _ in layers.sources(FILE)][:1] == ["workspace.yaml"]
    assert layers.working_dir == "/srv/flow"
    assert layers.variables == {"A": "1"}


@pytest.mark.parametrize(
    ("base", "folder"), [("python:3.12-slim", "/"), ("debian", "/"), ("registry.example/base:1", None)]
)
def test_the_folder_of_a_base_image_is_known_where_it_is_the_root(base: str, folder: str | None) -> None:
    assert layers_of(read_image(f"FROM {base}\nRUN true\n".encode()), None, {}).working_dir == folder
