"""Commands that name code, in every form that they have: changed to read a workspace file, and given back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import BuilderError, ConflictError
from dagster_module_builder.workspaces.adopt import Adoption, adopt, look_through
from dagster_module_builder.workspaces.release import release
from tests.adoption.adopted import bytes_of, resolved

DOCKERFILE = "FROM python:3.12-slim\nRUN pip install dagster dagster-webserver\nWORKDIR /app\nCOPY . .\n"
FILE = "/app/workspace.yaml"
CODE = {"shop/__init__.py": "", "shop/jobs.py": "", "cars/__init__.py": "", "repo.py": ""}


@dataclass(frozen=True)
class Form:
    """A repository, and the words with which its services start afterwards."""

    files: dict[str, str]
    after: dict[str, list[str]] = field(default_factory=dict)


def compose(command: str, more: str = "") -> dict[str, str]:
    return {"compose.yaml": f"services:\n  page:\n    build: .\n{command}{more}", "Dockerfile": DOCKERFILE}


def page(*words: str) -> dict[str, list[str]]:
    return {"page": list(words)}


DEV = ("dagster", "dev", "-h", "0.0.0.0", "-w", FILE)
FORMS = {
    "text": Form(compose("    command: dagster dev -h 0.0.0.0 -m shop\n"), page(*DEV)),
    "text in quotes": Form(compose('    command: "dagster dev -h 0.0.0.0 -m shop" # kept\n'), page(*DEV)),
    "text in single quotes": Form(compose("    command: 'dagster dev -h 0.0.0.0 -m shop'\n"), page(*DEV)),
    "text on two lines": Form(compose("    command: dagster dev -h 0.0.0.0\n      -m shop\n"), page(*DEV)),
    "folded": Form(compose("    command: >\n      dagster dev\n      -h 0.0.0.0\n      -m shop\n"), page(*DEV)),
    "folded, the option alone": Form(
        compose("    command: >-\n      dagster dev -h 0.0.0.0\n      -m\n      shop\n"), page(*DEV)
    ),
    "block": Form(compose("    command: |\n      dagster dev -h 0.0.0.0 -m shop\n"), page(*DEV)),
    "block of lines": Form(compose("    command: |\n      dagster dev\n      -h 0.0.0.0\n      -m shop\n"), page(*DEV)),
    "list": Form(
        compose("    command:\n    - dagster\n    - dev\n    - -h\n    - 0.0.0.0\n    - -m\n    - shop\n"), page(*DEV)
    ),
    "list in quotes": Form(
        compose(
            '    command:\n      - "dagster"\n      - "dev"\n      - \'-h\'\n      - "0.0.0.0"\n'
            '      - "-m" # code\n      - "shop"\n'
        ),
        page(*DEV),
    ),
    "list in brackets": Form(compose('    command: ["dagster", "dev", "-h", "0.0.0.0", "-m", "shop"]\n'), page(*DEV)),
    "list in brackets on lines": Form(
        compose("    command: [\n      dagster, dev, -h, 0.0.0.0,\n      -m, shop, -a, defs, -d, /app\n    ]\n"),
        page(*DEV),
    ),
    "long options": Form(
        compose("    command: dagster dev --module-name shop -h 0.0.0.0 --attribute=defs --working-directory /app\n"),
        page("dagster", "dev", "-w", FILE, "-h", "0.0.0.0"),
    ),
    "long options with equals signs": Form(
        compose("    command: [dagster, dev, --module-name=shop, --working-directory=/app, -h, 0.0.0.0]\n"),
        page("dagster", "dev", f"--workspace={FILE}", "-h", "0.0.0.0"),
    ),
    "attribute first": Form(
        compose("    command: dagster dev -a defs -h 0.0.0.0 -m shop -p 1\n"),
        page("dagster", "dev", "-w", FILE, "-h", "0.0.0.0", "-p", "1"),
    ),
    "several modules": Form(compose("    command: dagster dev -h 0.0.0.0 -m shop -m cars\n"), page(*DEV)),
    "package": Form(compose("    command: dagster dev -h 0.0.0.0 --package-name shop\n"), page(*DEV)),
    "file": Form(compose("    command: dagster dev -h 0.0.0.0 -f repo.py -a repo\n"), page(*DEV)),
    "shell": Form(
        compose('    command: bash -c "cd /app && dagster dev -h 0.0.0.0 -m shop"\n'),
        page("bash", "-c", f"cd /app && dagster dev -h 0.0.0.0 -w {FILE}"),
    ),
    "shell with something behind": Form(
        compose('    command: bash -c "dagster dev -m shop -h 0.0.0.0; echo done"\n'),
        page("bash", "-c", f"dagster dev -w {FILE} -h 0.0.0.0; echo done"),
    ),
    "shell in a list": Form(
        compose('    command: ["bash", "-c", "exec dagster dev -h 0.0.0.0 -m shop"]\n'),
        page("bash", "-c", f"exec dagster dev -h 0.0.0.0 -w {FILE}"),
    ),
    "shell in a list, with lines": Form(
        compose(
            "    command:\n      - bash\n      - -c\n      - |\n        set -e\n"
            "        # dagster dev -m no\n        dagster dev \\\n          -h 0.0.0.0 \\\n"
            "          -m shop \\\n          -a defs\n"
        ),
        page("bash", "-c", f"set -e\n# dagster dev -m no\ndagster dev \\\n  -h 0.0.0.0 \\\n  -w {FILE}\n"),
    ),
    "both programs in one shell": Form(
        compose('    command: sh -c "dagster-daemon run -m shop & dagster-webserver -h 0.0.0.0 -m shop"\n'),
        page("sh", "-c", f"dagster-daemon run -w {FILE} & dagster-webserver -h 0.0.0.0 -w {FILE}"),
    ),
    "escaped quotes": Form(
        compose('    command: "sh -c \\"dagster dev -h 0.0.0.0 -m shop\\""\n'),
        page("sh", "-c", f"dagster dev -h 0.0.0.0 -w {FILE}"),
    ),
    "value in quotes": Form(compose('    command: dagster dev -h 0.0.0.0 -m "shop"\n'), page(*DEV)),
    "python -m": Form(compose("    command: python -m dagster dev -h 0.0.0.0 -m shop\n"), page("python", "-m", *DEV)),
    "a variable elsewhere": Form(
        compose("    command: dagster dev -p ${PORT:-3000} -m shop\n"), page("dagster", "dev", "-p", "3000", "-w", FILE)
    ),
    "entrypoint": Form(compose("    entrypoint: [dagster, dev, -h, 0.0.0.0, -m, shop]\n"), {}),
    "entrypoint and command": Form(
        compose("    entrypoint: [dagster, dev]\n    command: [-h, 0.0.0.0, -m, shop]\n"), page(*DEV[2:])
    ),
    "a list that two services share": Form(
        {
            "compose.yaml": "x-code: &code\n  build: .\nservices:\n"
            "  page:\n    <<: *code\n    command: &run [dagster, dev, -m, shop]\n  two:\n    <<: *code\n"
            "    command: *run\n",
            "Dockerfile": DOCKERFILE,
        },
        {"page": ["dagster", "dev", "-w", FILE], "two": ["dagster", "dev", "-w", FILE]},
    ),
    "webserver and daemon": Form(
        compose(
            "    command: dagster-webserver -h 0.0.0.0 -m shop\n",
            "  clock:\n    build: .\n    command: [dagster-daemon, run, -m, shop]\n",
        ),
        {"page": ["dagster-webserver", "-h", "0.0.0.0", "-w", FILE], "clock": ["dagster-daemon", "run", "-w", FILE]},
    ),
    "a daemon that names nothing": Form(
        compose(
            "    command: dagster-webserver -h 0.0.0.0 -m shop\n",
            "  clock:\n    build: .\n    command: dagster-daemon run\n",
        ),
        {"page": ["dagster-webserver", "-h", "0.0.0.0", "-w", FILE], "clock": ["dagster-daemon", "run", "-w", FILE]},
    ),
    "an override": Form(
        {
            **compose("    command: dagster dev\n"),
            "compose.override.yaml": "services:\n  page:\n    command: dagster dev -h 0.0.0.0 -m shop\n",
        },
        page(*DEV),
    ),
    "another file that is extended": Form(
        {
            "compose.yaml": "services:\n  page:\n    extends:\n      file: base.yaml\n"
            "      service: base\n    ports: ['1:1']\n",
            "base.yaml": "services:\n  base:\n    build: .\n    command: dagster dev -h 0.0.0.0 -m shop\n",
            "Dockerfile": DOCKERFILE,
        },
        page(*DEV),
    ),
    "an included file": Form(
        {
            "compose.yaml": "include:\n  - more/compose.yaml\n",
            "more/compose.yaml": "services:\n  page:\n    build: ..\n    command: dagster dev -h 0.0.0.0 -m shop\n",
            "Dockerfile": DOCKERFILE,
        },
        page(*DEV),
    ),
    "line feeds of Windows": Form(
        {
            "compose.yaml": "services:\r\n  page:\r\n    build: .\r\n    command:\r\n      - dagster\r\n      - dev\r\n"
            "      - -m\r\n      - shop\r\n      - -a\r\n      - defs\r\n",
            "Dockerfile": DOCKERFILE,
        },
        page("dagster", "dev", "-w", FILE),
    ),
    "a byte order mark": Form(
        {
            "compose.yaml": "\ufeffservices:\n  page:\n    build: .\n    command: dagster dev -m shop\n",
            "Dockerfile": DOCKERFILE,
        },
        page("dagster", "dev", "-w", FILE),
    ),
    "letters of other languages": Form(
        compose("    labels: {who: Zoë, что: 'ж'}\n    command: dagster dev -h 0.0.0.0 -m shop # für Zoë\n"), page(*DEV)
    ),
    "CMD in exec form": Form(
        {**compose(""), "Dockerfile": f'{DOCKERFILE}CMD ["dagster", "dev", "-h", "0.0.0.0", "-m", "shop"]\n'}
    ),
    "CMD in shell form": Form(
        {**compose(""), "Dockerfile": f"{DOCKERFILE}CMD dagster dev \\\n  -h 0.0.0.0 \\\n  -m shop\n"}
    ),
    "ENTRYPOINT and CMD": Form(
        {
            **compose(""),
            "Dockerfile": f'{DOCKERFILE}ENTRYPOINT ["dagster", "dev"]\nCMD ["-h", "0.0.0.0", "-m", "shop"]\n',
        }
    ),
    "ENTRYPOINT and a command": Form(
        {**compose("    command: -h 0.0.0.0 -m shop\n"), "Dockerfile": f'{DOCKERFILE}ENTRYPOINT ["dagster", "dev"]\n'},
        page("-h", "0.0.0.0", "-w", FILE),
    ),
    "a stage": Form(
        {
            "compose.yaml": "services:\n  page:\n    build: {context: ., target: page}\n",
            "Dockerfile": "FROM python:3.12 AS base\nWORKDIR /app\nCOPY . .\nFROM base AS page\n"
            "CMD dagster dev -m shop\n"
            "FROM base AS other\nCMD python other.py\n",
        }
    ),
    "a script": Form(
        {
            **compose("    entrypoint: ./start.sh\n"),
            "start.sh": "#!/bin/sh\nset -e\n# dagster dev -m old\npython migrate.py\n"
            "exec dagster dev \\\n  -h 0.0.0.0 -m shop\n",
        }
    ),
    "a script for both": Form(
        {
            **compose(
                "    command: [./start.sh, web]\n", "  clock:\n    build: .\n    command: [./start.sh, daemon]\n"
            ),
            "start.sh": '#!/bin/sh\ncase "$1" in\n  web) exec dagster-webserver -m shop ;;\n'
            "  daemon) exec dagster-daemon run -m shop ;;\n  try) dagster dev -m cars ;;\nesac\n",
        },
    ),
    "a workspace file that no service reads": Form(
        {
            **compose("    command: dagster dev -h 0.0.0.0 -m shop\n"),
            "workspace.yaml": "load_from:\n  - python_module: cars\n",
        },
        page("dagster", "dev", "-h", "0.0.0.0", "-w", "/app/shop/workspace.yaml"),
    ),
    "a daemon beside a webserver that reads a file": Form(
        {
            **compose(
                "    command: dagster-webserver -w workspace.yaml\n",
                "  clock:\n    build: .\n    command: dagster-daemon run -m cars\n",
            ),
            "workspace.yaml": "load_from:\n  - python_module: cars\n  - python_module: shop\n",
        },
        {"page": ["dagster-webserver", "-w", "workspace.yaml"], "clock": ["dagster-daemon", "run", "-w", FILE]},
    ),
    "a mount is needed": Form(
        {
            "compose.yaml": "services:\n  page:\n    build: .\n    command: dagster dev -h 0.0.0.0 -m shop\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY shop/jobs.py shop/\n",
        },
        page("dagster", "dev", "-h", "0.0.0.0", "-w", "/opt/dagster_workspace/workspace.yaml"),
    ),
    "a mount beside others": Form(
        {
            "compose.yaml": "services:\n  page:\n    build: .\n"
            "    command: dagster dev -h 0.0.0.0 -m shop\n    volumes:\n"
            "      # data\n      - data:/data\nvolumes:\n  data:\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY shop/jobs.py shop/\n",
        },
        page("dagster", "dev", "-h", "0.0.0.0", "-w", "/opt/dagster_workspace/workspace.yaml"),
    ),
    "a mount in brackets": Form(
        {
            "compose.yaml": "services:\n  page:\n    build: .\n    command: dagster dev -m shop\n"
            "    volumes: ['data:/data']\nvolumes:\n  data:\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY shop/jobs.py shop/\n",
        },
        page("dagster", "dev", "-w", "/opt/dagster_workspace/workspace.yaml"),
    ),
}


def made(folder: Path, form: Form) -> Path:
    root = folder / "repository"
    for name, text in {**CODE, **form.files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(0o755 if name.endswith(".sh") else 0o644)
    return root


def looked(root: Path) -> Adoption:
    return look_through(root, write_workspace_file=True)


def without_commands(service: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in service.items() if key not in {"command", "entrypoint"}}
    mounts = [each for each in service.get("volumes", ()) if each["target"] != "/opt/dagster_workspace"]
    return {**kept, "volumes": mounts}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_command_reads_the_workspace_file_and_is_given_back(form: Form, tmp_path: Path, compose: Path) -> None:
    root = made(tmp_path, form)
    before, model = bytes_of(root), resolved(compose, looked(root), root)
    adoption = looked(root)
    adopt(adoption)
    now = resolved(compose, adoption, root)
    for name, service in now["services"].items():
        assert without_commands(service) == without_commands(model["services"][name])
    assert {name: now["services"][name]["command"] for name in form.after} == form.after
    assert not looked(root).is_new
    assert looked(root).survey.locations
    release(root)
    assert bytes_of(root) == before


PREBUILT = "services:\n  page:\n    image: flow\n    volumes: ['.:/app']\n    command: dagster dev -m shop\n"
#: What cannot be changed safely, and what is said of it.
REFUSED = {
    "different modules": (
        compose(
            "    command: dagster-webserver -m shop\n",
            "  clock:\n    build: .\n    command: dagster-daemon run -m cars\n",
        ),
        "compose.yaml:2: page loads shop and clock loads cars",
    ),
    "a variable": (
        compose("    command: dagster dev -m ${MODULE:-shop}\n"),
        "compose.yaml:4: The command of page cannot be changed safely: -m gets its value from a variable",
    ),
    "a variable of a script": (
        {**compose("    command: ./start.sh\n"), "start.sh": "#!/bin/sh\nexec dagster dev -m $MODULE\n"},
        "start.sh:2: The command of page cannot be changed safely: -m gets its value from a variable",
    ),
    "different modules in one shell": (
        compose('    command: sh -c "dagster-daemon run -m cars & dagster-webserver -m shop"\n'),
        "The command of page cannot be changed safely: its programs load different code",
    ),
    "a workspace file in the way": (
        {
            "compose.yaml": "services:\n  page:\n    build: .\n    command: dagster dev -m shop\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY shop/jobs.py shop/\n",
            "dagster_workspace/workspace.yaml": "load_from: []\n",
        },
        "dagster_workspace/workspace.yaml: This file says something else. Move it, or delete it.",
    ),
    "an unknown folder": (
        {"compose.yaml": PREBUILT},
        "compose.yaml:2: Only its image says in which folder page starts",
    ),
    "a secret between": (
        compose("    command: dagster dev -m shop --db-password=Wq8x1z -a defs\n"),
        "compose.yaml:4: The command of page has a secret between the words that change",
    ),
    "text in the Compose file": (
        {
            "compose.yaml": "services:\n  page:\n    volumes: ['.:/app']\n    working_dir: /app\n"
            "    build:\n      dockerfile_inline: |\n"
            "        FROM python:3.12\n        CMD dagster dev -m shop\n    command: dg dev --target-path x -m shop\n",
        },
        "'dagster dev' has no option --target-path of 'dg dev'",
    ),
    "a mount in braces": (
        {
            "compose.yaml": "services:\n  page: {build: ., command: dagster dev -m shop}\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY shop/jobs.py shop/\n",
        },
        "compose.yaml: The command of page cannot be changed safely: page is written in a way that takes no lines",
    ),
    "a mount that another service would get": (
        {
            "compose.yaml": "services:\n  page:\n    build: .\n    command: dagster dev -m shop\n"
            "    volumes: &data ['data:/data']\n"
            "  other:\n    image: other\n    volumes: *data\nvolumes:\n  data:\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY shop/jobs.py shop/\n",
        },
        "compose.yaml:6: The settings of other would be changed too",
    ),
    "an option without a value": (
        compose("    command: dagster dev -m shop -a\n"),
        "The command of page cannot be changed safely: -a has no value",
    ),
}


@pytest.mark.parametrize(("files", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_changed_safely_is_refused_with_what_to_write(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    root = made(tmp_path, Form(files))
    before = bytes_of(root)
    with pytest.raises(BuilderError) as refusal:
        adopt(looked(root))
    assert said in str(refusal.value)
    assert "load_from:" in str(refusal.value)
    assert "-w /" in str(refusal.value)
    assert bytes_of(root) == before
    assert "Wq8x1z" not in str(refusal.value)


TWO = Form(
    compose(
        "    command: dagster-webserver -h 0.0.0.0 -m shop\n    ports: ['3000:3000']\n",
        "  clock:\n    build: .\n    command:\n      - dagster-daemon\n      - run\n      - -m\n      - shop\n",
    )
)


def edited(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_the_owner_edits_elsewhere_is_kept(tmp_path: Path) -> None:
    root = made(tmp_path, TWO)
    before = (root / "compose.yaml").read_text()
    adopt(looked(root))
    edited(root, "compose.yaml", "services:\n", "services:\n  db:\n    image: postgres\n")
    edited(root, "compose.yaml", "-h 0.0.0.0", "-h 127.0.0.1")
    release(root)
    expected = before.replace("services:\n", "services:\n  db:\n    image: postgres\n").replace("0.0.0.0", "127.0.0.1")
    assert (root / "compose.yaml").read_text() == expected


#: What an owner edits of what was changed, and where that is said to be.
EDITED = {
    "the path": (
        "compose.yaml",
        "-w /app/workspace.yaml",
        "-w /app/workspace.yaml.old",
        "compose.yaml:2: '-w /app/workspace.yaml' of page",
    ),
    "an item": (
        "compose.yaml",
        "      - -w\n",
        "      - --workspace\n",
        "compose.yaml:6: '-w - /app/workspace.yaml' of clock",
    ),
    "a service": ("compose.yaml", "  clock:\n", "  ticker:\n", "of clock was edited since"),
    "the workspace file": (
        "workspace.yaml",
        "module_name: shop",
        "module_name: shops",
        "workspace.yaml: this file was edited since",
    ),
    "a word more": (
        "compose.yaml",
        "  page:\n",
        "  more:\n    command: dagster-daemon run -w /app/workspace.yaml\n  page:\n",
        "of page was edited since",
    ),
}


@pytest.mark.parametrize(("name", "old", "new", "said"), EDITED.values(), ids=EDITED)
def test_what_the_owner_edited_of_it_is_not_taken_back(
    name: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    root = made(tmp_path, TWO)
    adopt(looked(root))
    edited(root, name, old, new)
    before = bytes_of(root)
    with pytest.raises(ConflictError) as refusal:
        release(root)
    assert said in str(refusal.value)
    assert bytes_of(root) == before
    release(root, keep_commands=True)
    assert bytes_of(root) == {name: text for name, text in before.items() if name != "dagster-module-builder.ini"}


def test_a_service_that_came_later_is_changed_and_given_back_too(tmp_path: Path) -> None:
    root = made(tmp_path, TWO)
    before = (root / "compose.yaml").read_text()
    adopt(looked(root))
    later = "services:\n  early:\n    build: .\n    command: dagster-daemon run -m shop\n"
    edited(root, "compose.yaml", "services:\n", later)
    assert "early loads shop" in " ".join(looked(root).survey.notes)
    adopt(looked(root))
    assert (root / "compose.yaml").read_text().count("-m") == 0
    release(root)
    assert (root / "compose.yaml").read_text() == before.replace("services:\n", later)


def test_a_failing_commit_leaves_nothing(tmp_path: Path) -> None:
    root = made(tmp_path, TWO)
    adoption = looked(root)
    edited(root, "compose.yaml", "3000:3000", "3001:3001")
    before = bytes_of(root)
    with pytest.raises(BuilderError, match="was changed by another program"):
        adopt(adoption)
    assert bytes_of(root) == before
    assert not (root / ".dagster-module-builder").exists()


@pytest.mark.parametrize(
    "record", ["[]", '{"changes": [{}]}', '{"changes": [], "made": {"../x": "1"}}', '{"made": {"/etc/hostname": "1"}}']
)
def test_a_damaged_record_takes_nothing_back(record: str, tmp_path: Path) -> None:
    root = made(tmp_path, TWO)
    adopt(looked(root))
    path = root / ".dagster-module-builder/.registry"
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps({**data, "adopted": json.loads(record) or [1]}))
    before = bytes_of(root)
    with pytest.raises(BuilderError, match="its record 'adopted' cannot be read"):
        release(root)
    assert bytes_of(root) == before
