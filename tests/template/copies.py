"""Files of the templates that are written in one place and delivered in several: archives and Windows have no links.

``python -m tests.template.copies`` refreshes them.
"""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_MODULE = "cookiecutter-dagster-module"
_SERVICES = "cookiecutter-dagster-workspace/{{cookiecutter.name}}/services/dagster"

#: Each copy, and the file that it is a copy of.
COPIES: dict[str, str] = {
    **{
        f"{_MODULE}/hooks/{name}.py": f"dagster_module_builder/base/{name}.py"
        for name in ("baseline", "errors", "layout", "machine", "names", "ports", "requirements", "settings")
    },
    **{
        f"{_MODULE}/{{{{cookiecutter.name}}}}/{name}": f"{_SERVICES}/{name}"
        for name in ("constraints.txt", "constraints.lock")
    },
    **{
        f"{_SERVICES}/module_servers/{name}.py": f"dagster_module_builder/module_servers/{name}.py"
        for name in (
            "__init__",
            "__main__",
            "apart",
            "blocks",
            "copying",
            "keeper",
            "listed",
            "location",
            "program",
            "server",
        )
    },
    **{
        f"deploy_strategies/{strategy}/{folder}/{name}": f"deploy_strategies/shared/{name}"
        for strategy in ("docker", "git", "rsync")
        for folder, name in (
            ("hooks", "post_gen_project.py"),
            ("templates", "common.yaml"),
            ("templates", "guide.md"),
            ("templates", "settings.env"),
        )
    },
}


def main() -> None:
    """Write every copy as its source is now."""
    for copy, source in COPIES.items():
        (REPOSITORY / copy).unlink(missing_ok=True)
        (REPOSITORY / copy).write_bytes((REPOSITORY / source).read_bytes())


if __name__ == "__main__":
    main()
