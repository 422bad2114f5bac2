"""What a person at a terminal is asked, line by line, and what becomes of their answers."""

from __future__ import annotations

import json
import socket

import yaml

from tests.cli.keyboard import CTRL_C, Seen, type_into
from tests.cli.terminal import PROGRAM, Terminal, everything_in

QUICK = ["--governance", "quick", "--executor", "in_process", "--code-server", "shared", "--starter", "empty"]
#: What stands behind every question that is asked line by line.
CUE = "(< goes back)"


def asked(seen: Seen) -> int:
    return seen.screen.count(CUE)


def recorded(workspace: Terminal, name: str) -> dict[str, object]:
    answers: dict[str, object] = json.loads((workspace.root / "projects" / name / ".dagster-module.json").read_text())[
        "answers"
    ]
    return answers


def test_a_module_takes_seven_questions(workspace: Terminal) -> None:
    """The specification's first example: name, database, requirements, governance, workspace, deployment, create."""
    seen = type_into(
        workspace,
        [str(PROGRAM), "new"],
        {
            "Module name": ["class", "sales"],
            "Database\n": ["post"],
            "System requirements": ["ssh, telepathy", "ssh, 12"],
            "Governance": ["quick"],
        },
    )

    assert seen.code == 0, seen.screen
    assert asked(seen) == 7 + 2, seen.screen
    assert "'class' cannot be a module's name: it is a keyword of Python" in seen.screen
    assert "'telepathy' is not one of ssh, " in seen.screen
    for group in ("remote systems:", "programs:", "file formats:", "PDF with poppler-utils (+27 MB)"):
        assert group in seen.screen
    assert "ffmpeg: ffmpeg" not in seen.screen
    answers = recorded(workspace, "sales")
    assert (answers["database"], answers["governance"], answers["starter"]) == ("postgresql", "quick", "sample")
    assert {name for name, answer in answers.items() if answer is True} == {"requires_ssh", "requires_pdf"}
    assert "[4/10]" not in seen.screen


def test_a_deployment_by_git_takes_eight_questions(full: Terminal) -> None:
    """The specification's second example, with each answer judged where it is given."""
    seen = type_into(
        full,
        [str(PROGRAM), "configure-deployment", "sales"],
        {
            "Name of the deployment": ["Live!", "live"],
            "Client": ["", "ACME"],
            "Hosts": ["", "a b", "a.example"],
            "Folder on the hosts": ["srv", "/etc", ""],
            "Strategy": ["1"],
            "Where Dagster's": ["ftp://x", ""],
        },
    )

    assert seen.code == 0, seen.screen
    assert asked(seen) == 8 + 7, seen.screen
    for words in (
        "'Live!' cannot be a deployment's name: use lower-case letters",
        "Client, as people write the name: this needs an answer.",
        "is 'a b': write a host's name or address",
        "base_path is 'srv': begin with / or with ~/.",
        "base_path is /etc, which belongs to the system",
        "dagster.url is 'ftp://x': begin with http:// or https://",
    ):
        assert words in seen.screen, words
    assert "^" not in seen.screen
    strategies = [line.split()[1] for line in seen.screen.splitlines() if line.startswith(("  1. git:", "  2. rsync:"))]
    assert strategies[:2] == ["git:", "rsync:"]
    data = yaml.safe_load((full.root / "projects/sales/deploy/live/deployment.yaml").read_text())
    assert (data["strategy"], data["client"], data["hosts"]) == ("git", "ACME", [{"host": "a.example"}])


def test_only_what_a_kind_of_host_needs_is_asked(full: Terminal) -> None:
    """FAULTS G: a native host is not asked about containers, nor the other way round."""
    flags = ["--deployment", "live", "--client", "A", "--hosts", "a", "--base-path", "~/d", "--strategy", "rsync"]
    for kind, mentioned in (("native", False), ("compose", True)):
        seen = type_into(
            full,
            [str(PROGRAM), "configure-deployment", "sales", *flags],
            {"How Dagster runs": [kind], "Create it?": ["more", "cancel"]},
        )
        assert (seen.code, seen.screen.rstrip().splitlines()[-1]) == (1, "Nothing was created."), seen.screen
        assert ("Dagster's containers have the folder mounted" in seen.screen) is mentioned
        for given in ("Client", "Hosts,", "Strategy:"):
            assert given not in seen.screen
    assert not (full.root / "projects/sales/deploy/live").exists()


def test_a_pipeline_asks_for_what_the_platform_needs(full: Terminal) -> None:
    """The strategy that is carried out has its questions, too; an answer that it does not ask for is refused there."""
    flags = ["--deployment", "live", "--client", "A", "--hosts", "a", "--base-path", "~/d", "--set", "runner=big"]
    seen = type_into(
        full,
        [str(PROGRAM), "configure-deployment", "sales", *flags],
        {
            "Strategy": ["git", "ci-cd"],
            "What the pipeline carries out": ["docker"],
            "Who runs": ["gitlab"],
            "What starts it": ["tag"],
            "The tags": ["v 1", "v*"],
            "This program, as pip": ["", "dagster-module-builder==0.1.0"],
            "Registry": ["hub.example/team", "none"],
        },
    )

    assert "Unknown question 'runner' of git." in seen.screen
    assert "ci-cd.tag is 'v 1': write the tags' names" in seen.screen
    assert "docker.registry is 'hub.example/team': write host or host:port" in seen.screen
    assert "The branch" not in seen.screen
    assert seen.code == 0, seen.screen
    data = yaml.safe_load((full.root / "projects/sales/deploy/live/deployment.yaml").read_text())
    assert (data["ci-cd"]["carries_out"], data["ci-cd"]["runner"], data["docker"]["registry"]) == (
        "docker",
        "big",
        "none",
    )


def test_a_person_sees_the_machine_first_and_is_asked_again_what_cannot_be(workspace: Terminal) -> None:
    """FAULTS E8: a port that is taken is refused at the prompt, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        title, ports = ["x" * 81, 'My "T" {{ x }}'], ["99", taken, "5999"]
        seen = type_into(
            workspace,
            [str(PROGRAM), "new", "sales", "--requires", "none", *QUICK],
            {"Title": title, "Database\n": ["2"], "Database port": ports, "Create it?": ["more"]},
        )

    assert seen.code == 0, seen.screen
    assert seen.screen.index("Found: Python") < seen.screen.index("Database")
    assert seen.screen.count("Found: Python") == 1
    assert "System requirements" not in seen.screen
    assert "The title has 81 characters" in seen.screen
    assert "'99' is not a valid database port. Use a number from 1024 to 65535." in seen.screen
    assert f"The port {taken} is taken: a program on this machine listens on it" in seen.screen
    answers = recorded(workspace, "sales")
    assert (answers["title"], answers["database"], answers["database_port"]) == ('My "T" {{ x }}', "postgresql", "5999")


def test_a_deployment_that_is_cancelled_leaves_the_module_and_its_next_steps(workspace: Terminal) -> None:
    seen = type_into(
        workspace,
        [str(PROGRAM), "new", "sales", "--requires", "none", "--database", "none", "--deployment", "yes", *QUICK],
        {"Client": ["A"], "Hosts": ["a"], "Create it?": ["create", "cancel"]},
    )
    assert seen.code == 1, seen.screen
    assert (workspace.root / "projects/sales").is_dir()
    assert not (workspace.root / "projects/sales/deploy/production").exists()
    for step in ("workspace.add sales", "configure-deployment sales"):
        assert step in seen.screen.partition("Next:")[2]


def test_a_wrong_flag_is_refused_before_any_question_and_an_interrupt_leaves_nothing(workspace: Terminal) -> None:
    before = everything_in(workspace.root)

    for flags, code in ((["--database", "oracle"], 2), (["--database", "mysql", "--port", "99"], 1)):
        seen = type_into(workspace, [str(PROGRAM), "new", "sales", *flags], {})
        assert seen.code == code, seen.screen
        assert CUE not in seen.screen
    seen = type_into(workspace, [str(PROGRAM), "new", "sales"], {"System requirements": [CTRL_C]})

    assert (seen.code, seen.screen.rstrip().splitlines()[-1][-12:]) == (130, "Interrupted.")
    assert everything_in(workspace.root) == before


def test_what_a_file_answers_is_not_asked(workspace: Terminal) -> None:
    (workspace.cwd / "answers.yaml").write_text("database: duckdb\nrequires: [pdf]\nworkspace: no\ndeployment: no\n")
    seen = type_into(workspace, [str(PROGRAM), "new", "sales", "--answers", "answers.yaml"], {"Governance": ["quick"]})
    assert (seen.code, asked(seen)) == (0, 2), seen.screen
    answers = recorded(workspace, "sales")
    assert (answers["database"], answers["requires_pdf"], answers["workspace"]) == ("duckdb", True, "no")


def test_a_large_image_is_asked_about_and_can_be_taken_back(workspace: Terminal) -> None:
    """The alternatives are shown, and a no chooses again."""
    seen = type_into(
        workspace,
        [str(PROGRAM), "new", "sales", *QUICK],
        {"System requirements": ["video", "pdf"], "Go on?": [""]},
    )
    assert seen.code == 0, seen.screen
    assert "The image grows by about 472 MB" in seen.screen
    assert "instead of video: processing outside the container" in seen.screen
    assert not recorded(workspace, "sales")["requires_video"]

    flags = ["--requires", "video", "--database", "none", *QUICK]
    refused = type_into(workspace, [str(PROGRAM), "new", "films", *flags], {"Go on?": ["no"]})
    assert (refused.code, (workspace.root / "projects/films").exists()) == (1, False), refused.screen
    taken = type_into(workspace, [str(PROGRAM), "new", "films", *flags, "--accept-size"], {})
    assert taken.code == 0, taken.screen
    assert "Go on?" not in taken.screen
    assert recorded(workspace, "films")["requires_video"]


def test_a_module_outside_is_moved_only_with_a_yes(workspace: Terminal) -> None:
    workspace.done("new", "sales", *QUICK)
    outside = workspace.cwd / "sales"
    (workspace.root / "projects/sales").rename(outside)

    for answer, stays in (("n", True), ("y", False)):
        seen = type_into(workspace, [str(PROGRAM), "workspace.add", str(outside), "--no-check"], {"Move it": [answer]})
        assert (seen.code, outside.is_dir()) == (int(stays), stays), seen.screen
    assert (workspace.root / "projects/sales/pyproject.toml").is_file()
