"""An image keeps the packages that it has: the lines that a module's block has for it, run in real environments."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from tests import index, needs
from tests.corpus.image_folder import ImageFolder
from tests.engine.folders import make_module, make_workspace, services

SNIPPET = """\
COPY projects/{name}/pyproject.toml /opt/dagster/modules/{name}/pyproject.toml
RUN uv pip install --system --constraint /opt/dagster/constraints.txt \\
    $(printf -- '-r %s ' /opt/dagster/modules/*/pyproject.toml)
ENV PYTHONPATH="/workspace/projects/{name}/src:${{PYTHONPATH}}"
"""
PORTS = {"sales": 15440, "notes": 15441, "a": 15442, "b": 15443}
SHELLS = {"sh": ("/bin/sh",), "busybox": ("busybox", "sh")}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An index with two versions of a package called Dagster, and of one that it needs."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [index.wheel(folder, "tomli_of_dagster", version, {}) for version in ("1.0", "2.0")]
    wheels += [
        index.wheel(folder, "dagster", version, {}, requires=["tomli-of-dagster>=1"], script="dagster")
        for version in ("1.8.8", "1.13.0")
    ]
    wheels += [index.wheel(folder, "sums", version, {}) for version in ("1.0", "2.0")]
    with index.serving(*wheels) as found:
        yield found


@pytest.fixture
def image(tmp_path: Path, address: str) -> ImageFolder:
    root = tmp_path / "ws"
    (tmp_path / "image/opt/dagster").mkdir(parents=True)
    make_workspace(root)
    environ = {"UV_DEFAULT_INDEX": address, "UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_INDEX_URL": address}
    return ImageFolder(tmp_path / "image", root, environ)


def dockerfile(image: ImageFolder, text: str | None = None) -> bytes:
    file = services(image.context) / "Dockerfile"
    if text is not None:
        file.write_text(f"FROM python:3.12-slim\n{text}")
    return file.read_bytes()


def module(image: ImageFolder, name: str, *requirements: str, snippet: str = SNIPPET) -> None:
    folder = make_module(image.context, name, PORTS[name], dockerfile=snippet.format(name=name).encode())
    listed = ", ".join(f'"{one}"' for one in requirements)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\ndependencies = [{listed}]\n')


OWN = "RUN uv pip install --python /opt/venv/bin/python dagster==1.8.8 tomli-of-dagster==1.0\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_module_gets_what_it_lacks_and_the_image_keeps_its_dagster(image: ImageFolder, shell: str) -> None:
    """FAULTS F1: packages come beside those of the image, in whichever order modules are added and removed."""
    needs.program(SHELLS[shell][0])
    image.shell = SHELLS[shell]
    venv = image.with_environment("venv")
    dockerfile(image, OWN)
    module(image, "sales", "dagster>=1.5", "sums<2")
    module(image, "notes", "dagster", "sums")
    add_module(image.context, "sales")
    add_module(image.context, "notes")
    image.build(dockerfile(image))
    found = image.versions(venv)
    assert (found["dagster"], found["tomli-of-dagster"], found["sums"]) == ("1.8.8", "1.0", "1.0")


def test_the_build_fails_before_another_dagster_is_installed(image: ImageFolder) -> None:
    """FAULTS F1: a module that needs another Dagster ends the build, with uv's words, and changes nothing."""
    venv = image.with_environment("venv")
    dockerfile(image, OWN)
    module(image, "sales", "dagster>=1.13")
    add_module(image.context, "sales")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        image.build(dockerfile(image))
    assert re.search(r"dagster>=1\.13 and\s+dagster==1\.8\.8", failed.value.stderr)
    assert image.versions(venv)["dagster"] == "1.8.8"


def test_what_dagster_needs_is_kept_too(image: ImageFolder) -> None:
    """FAULTS F1: Dagster stops as well if only a package that it imports becomes another one."""
    venv = image.with_environment("venv")
    dockerfile(image, OWN)
    module(image, "sales", "tomli-of-dagster>=2")
    add_module(image.context, "sales")
    with pytest.raises(subprocess.CalledProcessError):
        image.build(dockerfile(image))
    assert image.versions(venv)["tomli-of-dagster"] == "1.0"


def test_packages_that_python_finds_elsewhere_are_kept_too(image: ImageFolder) -> None:
    """FAULTS F1: uv sees one folder of packages, and Python may import from more, as Debian does."""
    venv = image.with_environment("venv")
    elsewhere = "uv pip install --target /opt/more sums==1.0 && echo /opt/more > /opt/venv/lib/python3/site/more.pth"
    (venv / "lib/python3").mkdir()
    (venv / "lib/python3/site").symlink_to(next(venv.glob("lib/python3.*/site-packages")))
    dockerfile(image, f"{OWN}RUN {elsewhere}\n")
    module(image, "sales", "dagster", "sums")
    add_module(image.context, "sales")
    image.build(dockerfile(image))
    assert image.versions(venv)["sums"] == "1.0"


def test_modules_may_still_change_each_others_packages(image: ImageFolder) -> None:
    """What a module brought is not the image's: a later one may need a newer version that suits both."""
    venv = image.with_environment("venv")
    dockerfile(image, OWN)
    module(image, "a", "sums>=1")
    add_module(image.context, "a")
    image.build(dockerfile(image).replace(b"-r %s", b"-r %s --resolution lowest-direct"))
    assert image.versions(venv)["sums"] == "1.0"
    module(image, "b", "sums>=2")
    add_module(image.context, "b")
    image.build(dockerfile(image))
    assert image.versions(venv)["sums"] == "2.0"


@pytest.mark.dagster
def test_a_real_older_dagster_takes_a_module_and_still_runs(image: ImageFolder) -> None:
    """FAULTS F1: 1.8.8 with its page, as the index has them; the module brings pandas."""
    needs.registry()
    image.environ = {}
    venv = image.with_environment("venv")
    dockerfile(image, "RUN uv pip install --python /opt/venv/bin/python dagster==1.8.8 dagster-webserver==1.8.8\n")
    image.build(dockerfile(image))
    before = image.versions(venv)
    module(image, "sales", "dagster>=1.5", "pandas>=2.2")
    add_module(image.context, "sales")
    image.build(dockerfile(image))
    after = image.versions(venv)
    assert {name: version for name, version in after.items() if name in before} == before
    assert after.keys() - before.keys() >= {"pandas", "numpy"}
    assert image.run("dagster --version; dagster-webserver --version").split() == [
        "dagster,", "version", "1.8.8", "dagster-webserver,", "version", "1.8.8",
    ]  # fmt: skip


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"])
def test_an_environment_that_a_script_activates_is_found(image: ImageFolder, variable: str) -> None:
    """FAULTS F1: where no program of Dagster's is on the path of the build, a variable tells where it is."""
    venv, other = image.with_environment("venv", on_path=False), image.with_environment("other")
    image.environ = {**image.environ, variable: str(venv)}
    dockerfile(image, OWN)
    module(image, "sales", "dagster", "sums")
    add_module(image.context, "sales")
    image.build(dockerfile(image))
    assert image.versions(venv).keys() >= {"dagster", "sums"}
    assert not image.versions(other).keys() & {"dagster", "sums"}


@pytest.mark.parametrize("command", ["/opt/venv/bin/dagster-webserver -w workspace.yaml", "dagster-webserver"])
def test_the_environment_is_the_one_that_dagster_starts_from(image: ImageFolder, command: str) -> None:
    """FAULTS F1: where another Python comes first on the path, the module goes to Dagster's all the same."""
    venv = image.with_environment("venv", on_path=not command.startswith("/"))
    other = image.with_environment("other")
    compose = services(image.context) / "docker-compose.yml"
    compose.write_text(compose.read_text().replace('["dagster-webserver", "-w", "workspace.yaml"]', f'"{command}"'))
    dockerfile(image, f"{OWN}RUN ln -s /opt/venv/bin/dagster /opt/venv/bin/dagster-webserver\n")
    module(image, "sales", "dagster", "sums")
    add_module(image.context, "sales")
    image.build(dockerfile(image))
    assert image.versions(venv).keys() >= {"dagster", "sums"}
    assert not image.versions(other).keys() & {"dagster", "sums"}


@pytest.mark.parametrize(
    "command",
    [
        "RUN pip3 install \\\n    'dagster>=1.13'",
        "RUN uv pip install --system 'dagster>=1.13'",
        pytest.param("RUN pip install 'dagster>=1.13'", marks=pytest.mark.thorough),
        pytest.param("RUN python3 -m pip install 'dagster>=1.13'", marks=pytest.mark.thorough),
        pytest.param('RUN ["pip", "install", "dagster>=1.13"]', marks=pytest.mark.thorough),
    ],
)
def test_a_snippet_of_ones_own_is_bound_as_well(image: ImageFolder, command: str) -> None:
    """FAULTS F1: whatever of a module's lines installs packages, the image's stay."""
    venv = image.with_environment("venv", pip=True)
    dockerfile(image, OWN)
    module(image, "sales", snippet=f"{command}\n")
    add_module(image.context, "sales")
    text = dockerfile(image).decode()
    if '["pip"' in text:
        assert '"--constraint", "/tmp/.dagster-image/installed.txt"' in text
        return
    with pytest.raises(subprocess.CalledProcessError):
        image.build(text.encode())
    assert image.versions(venv)["dagster"] == "1.8.8"


AFTER_USER = "RUN useradd app\nUSER app\nRUN pip install --user dagster==1.8.8\nCMD dagster\n"


def test_a_block_comes_after_what_the_owner_installs_and_gives_the_user_back(image: ImageFolder) -> None:
    """FAULTS F1: before it, the module's packages would decide which Dagster the owner's line gets."""
    before = dockerfile(image, AFTER_USER)
    module(image, "sales", "dagster")
    add_module(image.context, "sales")
    lines = dockerfile(image).decode().splitlines()
    begin, end = lines.index("# BEGIN: sales"), lines.index("# END: sales")
    assert lines[begin - 1].startswith("RUN pip install --user")
    assert (lines[begin + 1], lines[end - 1], lines[end + 1]) == ("USER root", "USER app", "CMD dagster")
    assert sync(image.context).outcome.plan.effective == ()
    remove_module(image.context, "sales")
    assert dockerfile(image) == before


@pytest.mark.parametrize(
    ("base", "user"),
    [
        ("quay.io/jupyter/base-notebook:python-3.12", "USER ${NB_UID}"),
        ("jupyter/scipy-notebook", "USER ${NB_UID}"),
        ("mambaorg/micromamba:1.5.8", "USER $MAMBA_USER"),
        ("apache/airflow:2.10.0", "USER airflow"),
    ],
)
def test_a_block_is_built_as_root_where_the_base_image_has_another_user(
    image: ImageFolder, base: str, user: str
) -> None:
    path = services(image.context) / "Dockerfile"
    path.write_text(f"FROM {base}\nRUN pip install dagster==1.8.8\nCMD dagster\n")
    before = path.read_bytes()
    module(image, "sales", "dagster")
    add_module(image.context, "sales")
    lines = path.read_text().splitlines()
    begin, end = lines.index("# BEGIN: sales"), lines.index("# END: sales")
    assert (lines[begin + 1], lines[end - 1], lines[end + 1]) == ("USER root", user, "CMD dagster")
    assert sync(image.context).outcome.plan.effective == ()
    remove_module(image.context, "sales")
    assert path.read_bytes() == before


def test_a_module_may_not_become_root_because_its_block_does(image: ImageFolder) -> None:
    """The lines that a block gets from this program allow nothing to the module's own."""
    dockerfile(image, AFTER_USER)
    module(image, "sales", "dagster")
    add_module(image.context, "sales")
    module(image, "sales", "dagster", snippet=f"USER root\n{SNIPPET}")
    with pytest.raises(Exception, match="USER:root"):
        sync(image.context)


def test_the_current_folder_does_not_come_onto_the_path(image: ImageFolder) -> None:
    """An empty entry of PYTHONPATH would have Python look into the working directory before its own modules."""
    module(image, "sales", "dagster")
    add_module(image.context, "sales")
    assert b'"/workspace/projects/sales/src${PYTHONPATH:+:${PYTHONPATH}}"' in dockerfile(image)
    remove_module(image.context, "sales")
    dockerfile(image, "ENV PYTHONPATH=/code\nRUN pip install dagster\n")
    add_module(image.context, "sales")
    assert b'"/workspace/projects/sales/src:${PYTHONPATH}"' in dockerfile(image)


def test_a_service_that_takes_all_variables_is_named(image: ImageFolder) -> None:
    """`up` restarts the owner's database if a module's variables are among its own."""
    compose = services(image.context) / "docker-compose.yml"
    module(image, "sales")
    assert add_module(image.context, "sales").notes == ()
    remove_module(image.context, "sales")
    compose.write_text(compose.read_text().replace("image: postgres:16", "image: postgres:16\n    env_file: .env"))
    (note,) = add_module(image.context, "sales").notes
    assert note.startswith("store: 'env_file: .env' passes the module's variables on")


def test_a_folder_that_the_image_has_keeps_its_mode(image: ImageFolder) -> None:
    """Outputs go to a volume of the module below the owner's folder, which stays as it is."""
    compose = services(image.context) / "docker-compose.yml"
    compose.write_text(compose.read_text().replace("      - storage:/tmp/dagster_storage\n", ""))
    dockerfile(image, "ENV DAGSTER_STORAGE_DIR=/opt/out\nRUN mkdir -m 0750 /opt/out\nUSER 1000\n")
    module(image, "sales", snippet="ENV A=b\n")
    add_module(image.context, "sales")
    image.build(dockerfile(image))
    modes = [(image.root / path).stat().st_mode & 0o7777 for path in ("opt/out", "opt/out/sales")]
    assert modes == [0o750, 0o1777]
