"""A repository of the corpus as it lies, adopted, with modules of the template."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from dagster_module_builder.workspaces.adopt import STATE, Adoption, adopt, look_through
from tests.adoption.cases import Case


def laid_out(case: Case, folder: Path) -> Path:
    """Copy a case's repository to a folder."""
    root = folder / "repository"
    shutil.copytree(case.tree, root)
    return root


def found(case: Case, root: Path, *, write_workspace_file: bool = True) -> Adoption:
    """Look through a case's repository, with the answers that the case gives."""
    answers = case.expected.get("answers", {})
    named = answers.get("workspace_file")
    return look_through(
        root,
        [Path(name) for name in answers.get("compose_files", ())],
        Path(named) if named else None,
        roles={name: tuple(stated) for name, stated in answers.get("roles", {}).items()},
        write_workspace_file=write_workspace_file,
    )


def adopted(case: Case, root: Path) -> Adoption:
    """Adopt a case's repository."""
    adoption = found(case, root)
    adopt(adoption)
    return adoption


def bytes_of(root: Path, *but: str) -> dict[str, bytes]:
    """Return every file of a repository but those below these folders and this program's own."""
    own = [root / folder for folder in (STATE, *but)]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(path.is_relative_to(folder) for folder in own)
    }


def resolved(compose: Path, adoption: Adoption, root: Path) -> dict[str, Any]:
    """Return the project of an adopted repository as Compose understands it; fails where Compose does not accept it."""
    files = adoption.survey.compose
    assert files
    named = [word for path in files.files for word in ("-f", str(root / path))] if files.needs_flags else []
    environ = {"PATH": os.environ["PATH"], "HOME": str(root)}
    command = [compose, "--project-directory", root / files.folder, *named, "--profile", "*", "config"]
    done = subprocess.run(
        [*command, "--format", "json", "--no-env-resolution"],
        cwd=root / files.folder, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data
