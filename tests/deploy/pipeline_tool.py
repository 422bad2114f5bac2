"""This program, as the jobs of a pipeline install it."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import uv

from tests import needs

REPOSITORY = Path(__file__).parents[2]
_NAME = "dagster_module_builder-0.0.1"
_FILES = {
    f"{_NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: dagster-module-builder\nVersion: 0.0.1\n",
    f"{_NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{_NAME}.dist-info/entry_points.txt": (
        "[console_scripts]\ndagster-module-builder = dagster_module_builder.program:main\n"
    ),
}


def whole(folder: Path) -> Path:
    """Build the wheel that is published; pip gets what it needs from the registry."""
    needs.registry()
    subprocess.run([uv.find_uv_bin(), "build", "-q", "--wheel", "-o", folder, REPOSITORY], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def light(folder: Path) -> Path:
    """Make a wheel that leads to the program and the packages of this environment.

    The jobs install it as they install the whole one, which takes seconds for each job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{_NAME}-py3-none-any.whl"
    here = sysconfig.get_path("purelib")
    files = {**_FILES, "dagster_module_builder_here.pth": f"import site; site.addsitedir({here!r})\n"}
    record = "".join(f"{name},,\n" for name in [*files, f"{_NAME}.dist-info/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{_NAME}.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


def registries() -> dict[str, str]:
    """Return where pip finds packages, as this machine says, and the versions that are locked here."""
    named = re.compile("PIP_|SSL_|https?_proxy$", re.IGNORECASE)
    found = {key: value for key, value in os.environ.items() if named.match(key)}
    return {**found, "PIP_CONSTRAINT": str(REPOSITORY / "constraints.txt")}


#: For jobs that install the light wheel: pip is to ask no server.
NO_REGISTRY = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
