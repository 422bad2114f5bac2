"""What an upgrade keeps of a person's work: this program's beside Copier's and Cruft's.

    python benchmarks/upgrades.py [--runs 3]

The template is the module's, in two versions that differ by what ``CHANGES`` lists, a new file, a renamed and a removed
one. A person did what ``edit`` does to the older one, with LF or CRLF at the end of every line, and committed it; then
each tool brings the newer one in. Cruft and Copier get the rendered files as their template, without questions, and
come from the package index. Seconds are of one command with its interpreter, on the clock and of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

NAME = "sales"
REPOSITORY = Path(__file__).resolve().parents[1]
PEERS = ("copier==9.19.1", "cruft==2.16.0")
#: What the newer template has and the older one has not, by file: (older, newer) of a piece of text.
CHANGES = {
    "README.md": ("## Run it, alone or beside others", "## Run it"),
    "TROUBLESHOOTING.md": ("# When it fails", "# Troubleshooting"),
    "deploy/CHECKLIST.md": ("# To see before a deployment of", "# Checklist before deploying"),
    ".gitignore": ("# What tools make", "# What tools leave behind"),
    "src/{{cookiecutter.__package}}/schedules.py": ('cron_schedule="0 5 * * *"', 'cron_schedule="0 6 * * *"'),
}
#: A file of the older template that the newer one has under another name, and one that it has no longer.
RENAMED = ("handbook/HOW.md", "handbook/GUIDE.md")
REMOVED = "handbook/OLD.md"
ADDED = "handbook/NEW.md"
#: What tools record of themselves.
RECORDS = {".dagster-module.json", ".copier-answers.yml", ".cruft.json"}
Seconds = tuple[float, float]
LINES = "".join(f"Line {number} of the page.\n" for number in range(1, 31))


@dataclass(frozen=True)
class Outcome:
    """What a tool left.

    Attributes:
        seconds: On the clock.
        processor: Seconds of the processor, with those of children.
        conflicts: How many places a person has to decide.
        wrong: What is lost, or not done, in words.
    """

    seconds: float
    processor: float
    conflicts: int
    wrong: tuple[str, ...]


def older(template: Path) -> None:
    """Give the module's files of the template what they had before."""
    newer(template)
    for name, (before, after) in CHANGES.items():
        replace(template / name, after, before)
    (template / RENAMED[1]).unlink()
    (template / ADDED).unlink()
    (template / RENAMED[0]).write_text(LINES)
    (template / REMOVED).write_text(LINES.replace("of the page", "that is old"))


def newer(template: Path) -> None:
    """Give the module's files of the template what they have now."""
    (template / "handbook").mkdir()
    (template / ADDED).write_text(LINES.replace("of the page", "that is new"))
    (template / RENAMED[1]).write_text(LINES.replace("Line 3 ", "Line three "))


def edit(project: Path) -> None:
    """Do what a person does meanwhile: other lines, the same line, deletions, edits of what is renamed or removed."""
    append(project / "README.md", "\nOurs: ask Ada.\n")
    replace(project / "src/sales_dagster/schedules.py", "0 5 * * *", "30 4 * * *")
    (project / "TROUBLESHOOTING.md").unlink()
    (project / ".pre-commit-config.yaml").unlink()
    replace(project / RENAMED[0], "Line 20 ", "Our line 20 ")
    replace(project / REMOVED, "Line 20 ", "Our line 20 ")


def append(path: Path, text: str) -> None:
    path.write_bytes(path.read_bytes() + text.encode())


def replace(path: Path, old: str, new: str) -> None:
    assert old.encode() in path.read_bytes(), (path, old)
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))


def judged(project: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many conflicts there are, and what is not as it should be."""
    texts = {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*")
             if path.is_file() and ".git" not in path.parts}  # fmt: skip
    conflicts = sum(text.count(b"<<<<<<< ") for text in texts.values())
    conflicts += sum(
        text.count(b"\n@@ ") + text.startswith(b"@@ ") for name, text in texts.items() if name.endswith(".rej")
    )
    readme = texts.get("README.md", b"")
    guide, old = texts.get(RENAMED[1], b""), texts.get(RENAMED[0], b"")
    # Files that this one run brought are the template's.
    both = [text for name, text in texts.items() if name not in {ADDED, *RECORDS} and b"\0" not in text]
    mixed = [text for text in both if text.count(b"\r\n") not in {0, text.count(b"\n")}]
    done = {
        "a person's line is lost": b"Ours: ask Ada." in readme,
        "a changed line beside it did not come": b"## Run it\r\n" in readme or b"## Run it\n" in readme,
        "a file that only the template changed did not come": b"# Before a deployment" in texts["deploy/CHECKLIST.md"],
        "a deleted file that the template changed is there again": "TROUBLESHOOTING.md" not in texts,
        "a deleted file is there again": ".pre-commit-config.yaml" not in texts,
        "a new file did not come": ADDED in texts,
        "the edit of a renamed file did not go along": b"Our line 20" in guide and b"Line three" in guide and not old,
        "the edit of a removed file is lost": b"Our line 20" in texts.get(REMOVED, b""),
        "the conflict is not shown": b"30 4 * * *" in texts["src/sales_dagster/schedules.py"] and conflicts > 0,
        f"{len(mixed)} files with both line endings": not mixed,
    }
    return conflicts, tuple(what for what, is_so in done.items() if not is_so)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def write(folder: Path, tree: Mapping[str, bytes]) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def published(folder: Path, trees: Mapping[str, Mapping[str, bytes]]) -> None:
    """Make a repository with a tag for each of these trees."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for tag, tree in trees.items():
        git(folder, "rm", "-rq", "--ignore-unmatch", ".")
        write(folder, tree)
        git(folder, "add", "-A", "-f")
        git(folder, "commit", "-qm", tag)
        git(folder, "tag", tag)


def persons(project: Path, ends: bytes) -> None:
    """Edit a project, give its lines these ends, and commit it."""
    edit(project)
    for path in project.rglob("*") if ends == b"\r\n" else ():
        # What a tool records of itself stays; a baseline is no text.
        if path.is_file() and not {".git", ".dagster-module"} & set(path.parts) and path.name not in RECORDS:
            path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    if not (project / ".git").exists():
        git(project, "init", "-q", "-b", "main")
    git(project, "config", "core.autocrlf", "false")
    git(project, "config", "user.name", "A")
    git(project, "config", "user.email", "a@example.org")
    git(project, "add", "-A", "-f")
    git(project, "commit", "-qm", "ours")


class Bench:
    """Both versions of the template, in the form that each tool takes, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        identity = {
            f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        (home := folder / "home").mkdir()
        self.environ = {**os.environ, **identity, "HOME": str(home)}
        self.programs = folder / "peers/bin"
        program = uv.find_uv_bin()
        subprocess.run([program, "venv", "-q", self.programs.parent], check=True)
        python = self.programs / "python"
        subprocess.run([program, "pip", "install", "-q", "--compile-bytecode", "--python", python, *PEERS], check=True)
        for version, change in (("1.0.0", older), ("2.0.0", newer)):
            self.checkout(version, change)
        trees = {version: self.rendered(version) for version in ("1.0.0", "2.0.0")}
        answers = {"{{_copier_conf.answers_file}}.jinja": b"{{ _copier_answers|to_nice_yaml -}}\n"}
        questions = {"copier.yml": b"name: sales\n", **answers}
        published(folder / "copier", {version: {**tree, **questions} for version, tree in trees.items()})
        context = {"cookiecutter.json": json.dumps({"name": NAME, "_copy_without_render": ["*"]}).encode()}
        inside = "{{cookiecutter.name}}"
        published(folder / "cruft", {
            version: context | {f"{inside}/{name}": text for name, text in tree.items()}
            for version, tree in trees.items()
        })  # fmt: skip

    def run(self, command: list[str | Path], folder: Path, **environ: str) -> Seconds:
        """Run a command; return the seconds that it took, on the clock and of the processor."""
        started, before = time.perf_counter(), os.times()
        done = subprocess.run(
            command, cwd=folder, env=self.environ | environ, check=False, capture_output=True, stdin=subprocess.DEVNULL
        )
        seconds, after = time.perf_counter() - started, os.times()
        if done.returncode not in {0, 1} or b"Traceback" in done.stderr:
            raise SystemExit(f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}")
        return seconds, sum(after[2:4]) - sum(before[2:4])

    def checkout(self, version: str, change: Callable[[Path], None]) -> None:
        """Make a copy of this program with one version of the template."""
        for part in (
            "cookiecutter-dagster-module",
            "cookiecutter-dagster-workspace",
            "dagster_module_builder",
            "deploy_strategies",
        ):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / part, self.folder / version / part, symlinks=True, ignore=ignored)
        (self.folder / version / "cookiecutter-dagster-module/VERSION").write_text(f"{version}\n")
        change(self.folder / version / "cookiecutter-dagster-module/{{cookiecutter.name}}")

    def program(self, version: str, *arguments: str | Path) -> Seconds:
        """Run this program with one version of the template."""
        line = [sys.executable, "-c", "from dagster_module_builder.program import main; main()", *arguments]
        return self.run(line, self.folder, PYTHONPATH=str(self.folder / version))

    def made(self, version: str, root: Path) -> Path:
        """Make the module; return its folder."""
        self.program(version, "workspace.init", "--root", root)
        answers = ["--governance", "enterprise", "--workspace", "no", "--deployment", "no", "--no-input"]
        self.program(version, "new", NAME, "--root", root, *answers)
        return root / "projects" / NAME

    def rendered(self, version: str) -> dict[str, bytes]:
        """Return what the template makes, without what this program records."""
        module = self.made(version, self.folder / f"rendered-{version}")
        files = (path for path in module.rglob("*") if path.is_file())
        named = {path.relative_to(module).as_posix(): path.read_bytes() for path in files}
        return {name: text for name, text in named.items() if not name.startswith(".dagster-module")}

    def ours(self, place: Path, ends: bytes) -> tuple[Seconds, Path]:
        """Upgrade by this program."""
        project = self.made("1.0.0", place / "workspace")
        persons(project, ends)
        return self.program("2.0.0", "upgrade", NAME, "--root", place / "workspace"), project

    def copier(self, place: Path, ends: bytes) -> tuple[Seconds, Path]:
        """Update by Copier."""
        program, project = self.programs / "copier", place / NAME
        self.run([program, "copy", "--defaults", "--vcs-ref", "1.0.0", self.folder / "copier", project], place)
        persons(project, ends)
        return self.run([program, "update", "--defaults", "--vcs-ref", "2.0.0"], project), project

    def cruft(self, place: Path, ends: bytes) -> tuple[Seconds, Path]:
        """Update by Cruft."""
        program, project = self.programs / "cruft", place / NAME
        self.run([program, "create", "--no-input", "--checkout", "1.0.0", self.folder / "cruft"], place)
        persons(project, ends)
        return self.run([program, "update", "-y", "--checkout", "2.0.0"], project), project


def measured(bench: Bench, tool: str, ends: bytes, runs: int) -> Outcome:
    """Upgrade so many times, each time a project that was made for it."""
    seconds = []
    for number in range(runs):
        (place := bench.folder / f"{tool}-{ends.hex()}-{number}").mkdir()
        took, project = getattr(bench, tool)(place, ends)
        seconds.append(took)
    wall, processor = (statistics.median(each) for each in zip(*seconds, strict=True))
    return Outcome(wall, processor, *judged(project))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        print(f"| {'tool':<8} | ends | seconds | processor | conflicts | what is lost or not done |")
        for ends, title in ((b"\n", "LF"), (b"\r\n", "CRLF")):
            for tool in ("ours", "copier", "cruft"):
                outcome = measured(bench, tool, ends, runs)
                wrong = "; ".join(outcome.wrong) or "nothing"
                figures = f"{outcome.seconds:7.2f} | {outcome.processor:9.2f} | {outcome.conflicts:9}"
                print(f"| {tool:<8} | {title:<4} | {figures} | {wrong} |", flush=True)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
