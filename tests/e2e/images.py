"""The images of the stack, made from Debian's packages alone, since the machine may reach no image registry.

``python -m tests.e2e.images`` makes them all. Each is tagged by the hash of what it is made from and kept as an archive
in the cache, so that nothing is made twice and a new engine only loads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from tests import needs
from tests.e2e.engine import Engine, cache, running

#: Debian 12: Python 3.11, PostgreSQL 15, MariaDB 10.11.
RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RECIPES = Path(__file__).parent / "images"

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

#: Settings of the machine's pip and uv that a container needs to reach the same package registries.
REGISTRY_SETTINGS = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_HTTP_TIMEOUT",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True)
class Image:
    """An image of the stack: its name for compose files, its recipe, and the image that it begins with."""

    name: str
    recipe: str
    base: Image | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Return the hash of everything that the image is made from."""
        origin = self.base.hash if self.base else hashlib.sha256(_certificates()).hexdigest()
        parts = [self.name, origin, json.dumps(self.settings, sort_keys=True)]
        parts += [file.name + file.read_text() for file in sorted((RECIPES / self.recipe).glob("*"))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def exact(self) -> str:
        """Return the tag that says what the image was made from."""
        return f"{self.name.partition(':')[0]}:{self.hash}"

    @property
    def archive(self) -> Path:
        """Return where the image is kept between engines."""
        return cache() / f"{self.exact.replace('/', '_').replace(':', '_')}.tar"


def stack() -> dict[str, Image]:
    """Return the images of the stack by the variable of a workspace's ``.env`` that names them."""
    base = Image(f"dagster-e2e/debian:{RELEASE}", "debian", settings=_base_settings())
    return {
        "PYTHON_IMAGE": Image("dagster-e2e/python:3.11", "python", base),
        "POSTGRES_IMAGE": Image("dagster-e2e/postgres:15", "postgres", base),
        "MYSQL_IMAGE": Image("dagster-e2e/mariadb:10", "mariadb", base),
    }


def provide(engine: Engine, image: Image) -> None:
    """Have ``image`` in the engine: it is there, or is loaded from the cache, or is made."""
    # Several processes of tests want the same ones: one makes them, the others find them.
    with FileLock(cache() / "images.lock"):
        _provide(engine, image)


def _provide(engine: Engine, image: Image) -> None:
    if not engine.has_image(image.exact) and image.archive.exists():
        engine.docker("load", "--input", image.archive)
    if not engine.has_image(image.exact):
        _make(engine, image)
        _keep(engine, image)
    engine.docker("tag", image.exact, image.name)


def _make(engine: Engine, image: Image) -> None:
    if image.base is None:
        _bootstrap(engine, image)
        return
    _provide(engine, image.base)
    base = f"--build-arg=BASE={image.base.exact}"
    engine.docker("build", "--quiet", base, f"--tag={image.exact}", RECIPES / image.recipe)


def _keep(engine: Engine, image: Image) -> None:
    unfinished = image.archive.with_suffix(".part")
    engine.docker("save", "--output", unfinished, image.exact)
    unfinished.replace(image.archive)


def _bootstrap(engine: Engine, image: Image) -> None:
    needs.root()
    needs.programs("debootstrap", "tar")
    with tempfile.TemporaryDirectory(prefix="debootstrap-") as folder:
        root = Path(folder) / "root"
        _debootstrap(root)
        _trust_what_the_machine_trusts(root)
        archive = Path(folder) / "root.tar"
        subprocess.run(["tar", "--numeric-owner", "-C", root, "-cf", archive, "."], check=True)
        changes = [f"--change=ENV {name}={json.dumps(value)}" for name, value in image.settings.items()]
        engine.docker("import", *changes, archive, image.exact)


def _debootstrap(root: Path) -> None:
    packages = (RECIPES / "debian" / "packages").read_text().split()
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}"]
    if KEYRING.exists():
        command.append(f"--keyring={KEYRING}")
    command += [RELEASE, str(root), *_mirror()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"debootstrap: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    for file in (root / "var/cache/apt/archives").glob("*.deb"):
        file.unlink()


def _mirror() -> list[str]:
    """Return where this machine gets Debian's packages, or nothing, which is debootstrap's own idea."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    targets = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line.split()[0] for line in targets if line.endswith(f" {RELEASE}")][:1]


def _trust_what_the_machine_trusts(root: Path) -> None:
    if bundle := _certificates():
        (root / CERTIFICATES.lstrip("/")).write_bytes(bundle)


def _certificates() -> bytes:
    """Return the authorities that this machine trusts, where it says so."""
    bundle = os.environ.get("SSL_CERT_FILE")
    return Path(bundle).read_bytes() if bundle and Path(bundle).exists() else b""


def _base_settings() -> dict[str, str]:
    found = {name: os.environ[name] for name in REGISTRY_SETTINGS if _serves_containers(os.environ.get(name))}
    certificates = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"), CERTIFICATES)
    return {"LANG": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **certificates, **_pip_index(), **found}


def _pip_index() -> dict[str, str]:
    """Return the index that the machine's pip.conf names, as pip and uv read it from their environment."""
    done = subprocess.run(["python3", "-m", "pip", "config", "get", "global.index-url"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    index = done.stdout.strip()
    return {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index} if done.returncode == 0 and index else {}


def _serves_containers(value: str | None) -> bool:
    """Tell whether a setting means the same in a container: folders and servers of this machine do not."""
    if not value:
        return False
    return urlsplit(value).scheme != "file" and "localhost" not in value and "127.0.0.1" not in value


def forget_outdated() -> None:
    """Remove the archives of images that would be made differently now."""
    current = stack().values()
    archives = {image.archive for image in current} | {image.base.archive for image in current if image.base}
    for archive in set(cache().glob("dagster-e2e_*.tar")) - archives:
        archive.unlink()


def main() -> None:
    """Make or load every image of the stack and print their names."""
    forget_outdated()
    with running() as engine:
        for variable, image in stack().items():
            provide(engine, image)
            sys.stdout.write(f"{variable}={image.name}  # {image.hash}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
