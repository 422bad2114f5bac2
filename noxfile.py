"""The development tasks of this repository; ``nox -l`` lists them."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.sessions = ["lint", "docs", "tests", "matrix"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

LOCK = "constraints.txt"
#: The requirements to run and to build this program, with hashes.
HASHES = "dagster_module_builder/deploy/pipelines/tool.lock"
#: More than the processors: tests wait for other programs for a third of their time.
PROCESSES = str(max(2, (os.cpu_count() or 1) * 3 // 2))


def _install(session: nox.Session, extras: str = "dev") -> None:
    # The tests start hundreds of processes from it, and many of them cannot write bytecode.
    session.install("--quiet", "-c", LOCK, "-e", f".[{extras}]", env={"UV_COMPILE_BYTECODE": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, types and import contracts."""
    _install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", "--no-cache")


@nox.session
def quick(session: nox.Session) -> None:
    """What a contributor runs before each commit: lint and the fast tests, without root, Docker or Dagster."""
    lint(session)
    arguments = session.posargs or ["-n", PROCESSES, "--dist", "loadgroup"]
    # A test that is longer belongs to what tests/quick.py leaves out.
    session.run("pytest", "-m", "quick", "--timeout", "30", "--durations=10", *arguments)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into build/site; any warning, such as a link that leads nowhere, fails."""
    _install(session, "docs")
    session.run("python", "-m", "docs_site", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests but those that need Docker, a browser and the matrix."""
    _install(session, "dev,docs")
    arguments = session.posargs or ["-n", PROCESSES, "--dist", "loadgroup"]
    chosen = "not docker and not browser and not matrix and not thorough"
    session.run("pytest", "-m", chosen, "--durations=80", *arguments)


@nox.session
def sweeps(session: nox.Session) -> None:
    """Run what CI has a part of: every fault, every task, every lie of a host, every module. Needs strace and root."""
    _install(session)
    engine = ["tests/engine/test_faults.py", "tests/engine/test_spread_faults.py"]
    hosts = ["tests/deploy/test_spread_faults.py", "tests/deploy/test_faults_across.py"]
    tasks = [
        "tests/cli/test_never_a_traceback.py",
        "tests/deploy/test_hostile_hosts.py",
        "tests/people/test_onlookers.py",
        "tests/hostile/test_tasks.py",
        "tests/template/test_matrix.py",
    ]
    every = {
        "ENGINE_FAULTS": "all",
        "DEPLOY_FAULTS": "all",
        "TROUBLES_ONE_IN": "1",
        "LIES_IN_TURNS": "1",
        "GUESTS_ONE_IN": "1",
        "RACE_SECONDS": "60",
        "MATRIX": "all",
    }
    arguments = session.posargs or ["-n", "auto", "--dist", "loadgroup"]
    session.run("pytest", *engine, *hosts, *tasks, *arguments, env=every)
    session.run("pytest", "-m", "thorough and not docker", *arguments)


@nox.session
def matrix(session: nox.Session) -> None:
    """Lint, type-check, load and test modules with every pair of the module template's answers; ``sweeps``: all."""
    _install(session)
    session.run("pytest", "tests/template", "-m", "matrix", *(session.posargs or ["-n", "auto", "--dist", "loadgroup"]))


@nox.session
def boots(session: nox.Session) -> None:
    """Start the real stack from nothing, twelve times in a row. Needs root on Debian."""
    _install(session, "dev,e2e")
    tests = ["pytest", "tests/e2e/test_first_boot.py", *session.posargs]
    session.run("python", "-m", "tests.e2e.engine", *tests, env={"DAGSTER_E2E_BOOTS": "12"})


@nox.session
def e2e(session: nox.Session) -> None:
    """Test the real stack: Docker Engine, Compose, databases, a browser. Needs root on Debian."""
    _install(session, "dev,e2e,docs")
    # All test processes share one engine, started here because any of them may end first.
    shared = ["-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder"]
    tests = ["pytest", "-m", "(docker or browser) and not stacks", "--durations=25", *(session.posargs or shared)]
    session.run("python", "-m", "tests.e2e.engine", *tests)


@nox.session
def stacks(session: nox.Session) -> None:
    """Adopt stacks of other people's making in Docker: each with its own Dagster. Needs root on Debian."""
    _install(session, "dev,e2e")
    tests = ["pytest", "-m", "stacks", *(session.posargs or ["-n", "2"])]
    session.run("python", "-m", "tests.e2e.engine", *tests)


@nox.session
def release(session: nox.Session) -> None:
    """Build dist/, check its contents and metadata, run the demo from the wheel, and list what it is made of."""
    # These programs are not in the lock file.
    session.install("--quiet", "uv", "cyclonedx-bom==7.5.0", "twine==6.2.0", "check-wheel-contents==0.6.3")
    shutil.rmtree("dist", ignore_errors=True)
    # The wheel is made from the source distribution: each is whole.
    session.run("uv", "build", "--quiet", "--out-dir", "dist")
    session.run("twine", "check", "--strict", *map(str, Path("dist").glob("dagster*")))
    # Strategies are a second package, to which people add. Templates carry copies of modules for hooks, which run
    # alone (W002), and folders whose names are placeholders (W004).
    session.run("check-wheel-contents", "--ignore", "W002,W004,W009", "dist")
    wheel = max(Path("dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    bill = Path(f"{wheel}.cdx.json")
    flags = ["--pyproject", "pyproject.toml", "--output-reproducible", "--output-file", os.fspath(bill)]
    session.run("cyclonedx-py", "requirements", HASHES, *flags)
    # The version is computed at build time, which cyclonedx-py does not do.
    materials = json.loads(bill.read_text("utf-8"))
    materials["metadata"]["component"]["version"] = wheel.name.split("-")[1]
    bill.write_text(json.dumps(materials, indent=2) + "\n", "utf-8")
    _try_wheel(session, wheel.absolute())


def _try_wheel(session: nox.Session, wheel: Path) -> None:
    """Run the demo from a wheel, in an environment and a folder without this repository."""
    folder = Path(session.create_tmp()).absolute()
    environment = folder / "installed"
    session.run("uv", "venv", "--quiet", "--clear", os.fspath(environment))
    python = os.fspath(environment / "bin/python")
    session.run("uv", "pip", "install", "--quiet", "--python", python, "--constraint", LOCK, os.fspath(wheel))
    with session.chdir(folder):
        session.run(os.fspath(environment / "bin/dagster-module-builder"), "demo", external=True)


@nox.session
def recording(session: nox.Session) -> None:
    """Record README.md's animation: a real shell, the real program, and a host with a real sshd."""
    _install(session)
    session.run("python", "-m", "docs_site.recording", "docs/images/recording.svg")


@nox.session
def audit(session: nox.Session) -> None:
    """Check the locked packages for known vulnerabilities; fail if no source of advisories answers."""
    session.install("--quiet", "pip-audit==2.10.1")
    command = ["pip-audit", "--strict", "--disable-pip", "--vulnerability-service", _source_of_advisories(session)]
    session.run(*command, "--require-hashes", "-r", HASHES)
    session.run(*command, "--no-deps", "-r", LOCK)


def _source_of_advisories(session: nox.Session) -> str:
    """Return the first source that knows an old release's vulnerabilities; mirrors of PyPI know none."""
    old = Path(session.create_tmp(), "vulnerable.txt")
    old.write_text("jinja2==2.4.1\n", "utf-8")
    command = ["pip-audit", "--disable-pip", "--no-deps", "--progress-spinner", "off", "-r", os.fspath(old)]
    for source in ("pypi", "osv"):
        output = session.run(*command, "--vulnerability-service", source, silent=True, success_codes=[0, 1])
        if re.search("PYSEC-|GHSA-", str(output)):
            return source
    return session.error(
        "Not audited: neither pip's index nor https://api.osv.dev knows the vulnerabilities of jinja2 2.4.1. "
        "Run this where https://pypi.org/pypi or https://api.osv.dev can be reached."
    )


@nox.session
def mutation(session: nox.Session) -> None:
    """Mutate the code in one place at a time and check that a test fails; takes about an hour."""
    _install(session)
    # Only its operators are used, as a library; its dependencies are not in the lock file.
    session.install("--quiet", "cosmic-ray==8.7.0")
    session.run("python", "-m", "tests.mutation.run", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo: create, run and remove a module in a temporary workspace."""
    session.install("--quiet", "-c", LOCK, "-e", ".")
    session.run("dagster-module-builder", "demo")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure speed and memory; print the figures on stdout."""
    _install(session)
    for script in sorted(Path("benchmarks").glob("*.py")):
        session.run("python", os.fspath(script), *session.posargs)
