"""The Python that loads a module's definitions on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules.module_environment import environment_of
from dagster_module_builder.modules.own_environment import own_python
from dagster_module_builder.native.native_environment import shared_environment, shared_modules


def python_for(root: Path, module: Path) -> Path:
    """Return the Python of an environment with a module's requirements: its own, the workspace's, or one that is made.

    Args:
        root: The workspace's root.
        module: The module's folder.

    Raises:
        BuilderError: There is none, and none could be made.
    """
    own = own_python(module)
    return own or (shared_environment(root) if module in _sharing(root) else environment_of(root, module))


def _sharing(root: Path) -> Sequence[Path]:
    try:
        return shared_modules(root)
    except BuilderError:
        return ()
