"""Which folders of a host a deployment may live in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import DamagedFileError, UsageError
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.model.deployment import read_deployment
from dagster_module_builder.deploy.model.schema import problem_with
from tests.deploy.deployment_answers import ANSWERS

REFUSED = (
    "/", "//", "/.", "/srv/..", "/srv/../etc", "~/../other", "/etc", "/etc/dagster", "//etc/cron.d", "/usr/lib/python3",
    "/usr/local", "/bin", "/lib64/x", "/proc/1", "/root/.ssh", "~/.ssh", "~/.ssh/x", "/home", "/var", "/var/spool/cron",
    "/tmp", "/dev/shm", "/run/x", "/var/lib/docker/volumes",
)  # fmt: skip
ALLOWED = (
    "/srv/dagster", "/opt/dagster", "/opt", "/data", "/home/carrie", "/var/lib/dagster", "/usr/local/dagster", "~/x",
    "/root/dagster", "/mnt/a b/it's", "/libdata/x", "/srv/a..b", "/tmp/x", "~/",
)  # fmt: skip


def made(tmp_path: Path) -> Path:
    (module := tmp_path / "sales-report").mkdir()
    return configure(tmp_path, module, "rsync", ANSWERS).folder / "deployment.yaml"


def test_a_deployment_lives_in_no_folder_of_the_system(tmp_path: Path) -> None:
    """FAULTS S15: ``base_path: /``, a path with ``..``, a folder of the system, for all hosts and for one."""
    file = made(tmp_path)
    data = yaml.safe_load(file.read_text())
    for path in REFUSED:
        for changed in ({"base_path": path}, {"hosts": ["a", {"host": "b", "base_path": path}]}):
            assert problem_with({**data, **changed}), (path, changed)
    for path in ALLOWED:
        assert problem_with({**data, "base_path": path}) is None, path
        assert problem_with({**data, "hosts": [{"host": "b", "base_path": path}]}) is None, path


def test_a_refusal_says_where_and_what_to_write(tmp_path: Path) -> None:
    file = made(tmp_path)
    file.write_text(file.read_text().replace("/srv/dagster", "/etc/dagster"))
    with pytest.raises(DamagedFileError, match=r"deployment.yaml: base_path is /etc/dagster, which belongs to the sys"):
        read_deployment(file.parent)
    with pytest.raises(UsageError, match=r"base_path contains '\.\.'"):
        configure(tmp_path, tmp_path / "sales-report", "rsync", {**ANSWERS, "deployment": "x", "base_path": "/a/../b"})
