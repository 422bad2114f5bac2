"""Fragments of a module ``guest`` that say what a module may not say, each with the settings that are to be refused.

``in_module`` gives the files of a whole module, so that others can run one through every task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent

NAME = "guest"
COMPOSE, SNIPPET, LOCATIONS, ENV = "docker-compose.yml", "dockerfile.snippet", "workspace.yaml", ".env"
HARMLESS: Mapping[str, str] = {
    LOCATIONS: (
        "load_from:\n  - python_package:\n      package_name: guest_dagster.definitions\n"
        "      working_directory: ../../projects/guest/src\n      location_name: guest\n"
    ),
    ENV: "GUEST_DB_PORT='15999'\n",
    COMPOSE: "services:\n  guest_db:\n    image: postgres:16\n",
    SNIPPET: "RUN true\n",
}


@dataclass(frozen=True)
class Case:
    """A hostile fragment.

    Attributes:
        name: What it tries.
        file: Which fragment it is, by its name in ``workspace/local/``.
        text: The fragment.
        refused: The settings that are to be refused, as ``--allow`` calls them.
    """

    name: str
    file: str
    text: str
    refused: tuple[str, ...]

    @property
    def fragments(self) -> dict[str, bytes]:
        """All fragments of the module, by name: this one, and harmless others."""
        return {name: text.encode() for name, text in {**HARMLESS, self.file: self.text}.items()}

    @property
    def in_module(self) -> dict[str, bytes]:
        """The files of a module with this fragment, by their paths in it."""
        code = {
            "pyproject.toml": b'[project]\nname = "guest"\nversion = "1"\ndependencies = ["dagster"]\n',
            "src/guest_dagster/__init__.py": b"",
            "src/guest_dagster/definitions.py": b"import dagster as dg\n\ndefs = dg.Definitions()\n",
        }
        return code | {f"workspace/local/{name}": text for name, text in self.fragments.items()}


def service(name: str, keys: str, *refused: str, more: str = "") -> Case:
    """Return a case of a service with these keys, and of sections beside it."""
    return Case(name, COMPOSE, f"services:\n  guest_db:\n    image: x:1\n{indent(keys, '    ')}\n{more}", refused)


def whole(name: str, text: str, *refused: str) -> Case:
    """Return a case of a whole Compose fragment."""
    return Case(name, COMPOSE, text, refused)


def snippet(name: str, text: str, *refused: str) -> Case:
    """Return a case of a snippet for the Dockerfile."""
    return Case(f"image: {name}", SNIPPET, text, refused)


_BIND = "volumes:\n  - {type: bind, source: %s, target: /x}"

SERVICES = (
    service("all rights", "privileged: true", "privileged"),
    service("all rights, quoted", "'privileged': \"true\"", "privileged"),
    service("all rights, as YAML 1.1 says yes", "privileged: yes", "privileged:yes"),
    service("all rights, by a variable", "privileged: ${GUEST_X:-true}", "privileged:${GUEST_X:-true}"),
    service("processes of the host", "pid: host", "pid:host"),
    service("memory of the host", "ipc: host", "ipc:host"),
    service("memory of another container", "ipc: service:dagster_daemon", "ipc:service:dagster_daemon"),
    service("network of the host", "network_mode: host", "network_mode:host"),
    service("network of another container", "network_mode: container:db", "network_mode:container:db"),
    service("network of another service", "network_mode: service:daemon", "network_mode:service:daemon"),
    service("names of the host", "uts: host", "uts:host"),
    service("users of the host", "userns_mode: host", "userns_mode:host"),
    service("control groups of the host", "cgroup: host", "cgroup:host"),
    service("a control group of others", "cgroup_parent: /system.slice", "cgroup_parent:/system.slice"),
    service("capabilities", "cap_add: [SYS_ADMIN, NET_ADMIN]", "cap_add:SYS_ADMIN", "cap_add:NET_ADMIN"),
    service("devices", "devices: ['/dev/sda:/dev/sda']", "devices:/dev/sda:/dev/sda"),
    service("devices by rule", "device_cgroup_rules: ['c *:* rwm']", "device_cgroup_rules:c *:* rwm"),
    service("graphics cards", "gpus: all", "gpus:all"),
    service(
        "devices by deployment",
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        "deploy.resources.reservations.devices.capabilities:gpu",
    ),
    service("no AppArmor", "security_opt: ['apparmor:unconfined']", "security_opt:apparmor:unconfined"),
    service("no seccomp", "security_opt:\n  - seccomp=unconfined", "security_opt:seccomp=unconfined"),
    service("another runtime", "runtime: sysbox", "runtime:sysbox"),
    service("kernel parameters", "sysctls: {kernel.shmmax: 1}", "sysctls.kernel.shmmax:1"),
    service("the group of Docker", "group_add: [docker]", "group_add:docker"),
    service("Docker's interface", "use_api_socket: true", "use_api_socket"),
    service("root", "user: root", "user:root"),
    service("root by number", "user: '0:0'", "user:0:0"),
    service("root by a variable", "user: ${GUEST_UID:-0}", "user:${GUEST_UID:-0}"),
    service("the root folder", "volumes: ['/:/host']", "volumes:/"),
    service("the root folder, read-only", "volumes: ['/:/host:ro']", "volumes:/:ro"),
    service("the root folder, long", _BIND % "/", "volumes:/"),
    service("Docker's socket", "volumes:\n  - /var/run/docker.sock:/s", "volumes:/var/run/docker.sock"),
    service("keys of the person", "volumes: ['~/.ssh:/k:ro']", "volumes:~/.ssh:ro"),
    service("a home by variable", "volumes: ['${HOME}:/k']", "volumes:${HOME}:/k", "variable:HOME"),
    service("a home by variable, long", _BIND % "'${HOME:-/}'", "volumes:${HOME:-/}", "variable:HOME"),
    service("another module", "volumes: ['../../projects/shop:/x']", "volumes:../../projects/shop"),
    service("out of the own folder", "volumes: ['../../projects/guest/..:/x']", "volumes:../../projects/guest/.."),
    service("a name that begins alike", "volumes: ['../../projects/guest2:/x']", "volumes:../../projects/guest2"),
    service("all of the workspace", "volumes: ['../..:/workspace']", "volumes:../.."),
    service("all data", "volumes: ['../../data:/x']", "volumes:../../data"),
    service("outputs of all", "volumes: ['../../data/storage:/x']", "volumes:../../data/storage"),
    service("outputs of another", "volumes: ['../../data/storage/shop:/x']", "volumes:../../data/storage/shop"),
    service("the shared files", "volumes: ['.:/x']", "volumes:."),
    service("the own volume of another", "volumes: ['shop_db_data:/x']", "volumes:shop_db_data"),
    service("the volume of all outputs", "volumes: ['dagster_storage:/tmp/x']", "volumes:dagster_storage"),
    service(
        "mounts that spread",
        "volumes: ['../../projects/guest/x:/x:rshared']",
        "volumes:../../projects/guest/x:/x:rshared",
    ),
    service(
        "mounts that spread, long",
        "volumes: [{type: bind, source: ../../projects/guest/x, target: /x, bind: {propagation: shared}}]",
        "volumes.bind.propagation:shared",
    ),
    service("a kind of mount that is new", _BIND.replace("bind", "npipe") % "x", "volumes.type:npipe", "volumes:x"),
    service("mounts of others", "volumes_from: [dagster_daemon]", "volumes_from:dagster_daemon"),
    service("all passwords", "env_file: .env", "env_file:.env"),
    service("all passwords, in a list", "env_file: [{path: ./.env}]", "env_file:./.env"),
    service("a file of variables elsewhere", "env_file: ../../../secrets.env", "env_file:../../../secrets.env"),
    service("a file of labels elsewhere", "label_file: /etc/passwd", "label_file:/etc/passwd"),
    service("a service of another file", "extends: {file: ../x.yml, service: guest_db}", "extends.file:../x.yml",
            "extends.service:guest_db"),
    service("a service of the workspace", "extends: dagster_daemon", "extends:dagster_daemon"),
    service("a build from elsewhere", "build: ../..\ncontainer_name: guest", "build.context:../..", "image:x:1"),
    service("a build of the net", "build: {context: 'https://x/z.git'}", "build.context:https://x/z.git", "image:x:1"),
    service(
        "another folder in a build",
        "build: {context: ../../projects/guest, additional_contexts: {h: /etc}}",
        "build.additional_contexts.h:/etc",
        "image:x:1",
    ),
    service(
        "a Dockerfile of others",
        "build: {context: ../../projects/guest, dockerfile: ../shop/Dockerfile}",
        "build.dockerfile:../shop/Dockerfile",
        "image:x:1",
    ),
    service("keys in a build", "build: {context: ../../projects/guest, ssh: [d]}", "build.ssh:d", "image:x:1"),
    service(
        "rights in a build",
        "build: {context: ../../projects/guest, entitlements: [security.insecure], privileged: true}",
        "build.entitlements:security.insecure",
        "build.privileged",
        "image:x:1",
    ),
    service("network of the host in a build", "build: {context: ../../projects/guest, network: host}",
            "build.network:host", "image:x:1"),
    service(
        "a build that writes elsewhere",
        "build: {context: ../../projects/guest, cache_to: ['type=local,dest=/etc']}",
        "build.cache_to:type=local,dest=/etc",
        "image:x:1",
    ),
    whole(
        "the image of the workspace",
        "services:\n  guest_code:\n    image: ${COMPOSE_PROJECT_NAME}-dagster\n    build: ../../projects/guest\n",
        "image:${COMPOSE_PROJECT_NAME}-dagster",
    ),
    service("a program of the host", "provider: {type: awesomecloud}", "provider.type:awesomecloud"),
    service("a hook with rights", "post_start: [{command: x, privileged: true}]", "post_start.privileged"),
    service("logs to elsewhere", "logging: {driver: gelf, options: {gelf-address: 'udp://x'}}", "logging.driver:gelf"),
    service("the name of another server", "networks: {workspace-net: {aliases: [dagster_postgres]}}",
            "networks.workspace-net.aliases:dagster_postgres"),
    service("the container of another server", "container_name: dagster_postgres", "container_name:dagster_postgres"),
    service("labels of Compose", "labels: {com.docker.compose.project: x}", "labels.com.docker.compose.project:x"),
    service("a secret of the workspace", "secrets: [deploy_key]", "secrets:deploy_key"),
    service("a password of another", "environment: {A: '${SHOP_DB_PASSWORD:-}'}", "variable:SHOP_DB_PASSWORD"),
    service("a key of the shell", "command: echo ${X:-${AWS_SECRET_ACCESS_KEY}}", "variable:X",
            "variable:AWS_SECRET_ACCESS_KEY"),
    service("a key of the shell, escaped", 'command: "echo \\x24{AWS_TOKEN:-}"', "variable:AWS_TOKEN"),
    service("a key of the shell, by name", "environment: [AWS_TOKEN]", "environment:AWS_TOKEN"),
    service("a key of the shell, without a value", "environment: {AWS_TOKEN: }", "environment:AWS_TOKEN"),
    service("a key of the shell in a build", "build: {context: ../../projects/guest, args: [AWS_TOKEN]}",
            "build.args:AWS_TOKEN", "image:x:1"),
    service("a folder by the name of a volume", "volumes: [{type: bind, source: modules, target: /x}]",
            "volumes:./modules", more="volumes:\n  modules:\n"),
    service("a setting that is new", "brand_new: {a: [1]}", "brand_new.a:1"),
)  # fmt: skip

WHOLE = (
    whole("another file", "include: [../../x.yml]\n" + HARMLESS[COMPOSE], "include:../../x.yml"),
    whole("another file, long", "include: [{path: /etc/x.yml}]\n" + HARMLESS[COMPOSE], "include.path:/etc/x.yml"),
    whole("a section that is new", "models:\n  m:\n    model: x\n", "models.m.model:x"),
    whole(
        "rights through an anchor",
        "x-a: &a\n  privileged: true\nservices:\n  guest_db:\n    <<: *a\n    image: x:1\n",
        "privileged",
    ),
    whole(
        "rights through several anchors",
        "x-a: &a\n  pid: host\nx-b: &b\n  <<: *a\nservices:\n  guest_db:\n    <<: [*b]\n    image: x:1\n",
        "pid:host",
    ),
    whole("a mount through an alias", "x-v: &v ['/:/h']\nservices:\n  guest_db:\n    volumes: *v\n", "volumes:/"),
    whole("one key twice", "services:\n  guest_db:\n    pid: host\n    pid:\n", "pid:host", "pid"),
    service("a disk as a volume", "", "driver_opts.device:/", "driver_opts.o:bind",
            more="volumes:\n  guest_data:\n    driver_opts: {device: /, o: bind}\n"),
    service("a driver for volumes", "", "driver:evil", more="volumes:\n  guest_data:\n    driver: evil\n"),
    service("a volume of another project", "", "external", more="volumes:\n  guest_data:\n    external: true\n"),
    service("a volume by another's name", "", "name:shop_db", more="volumes:\n  guest_data:\n    name: shop_db\n"),
    service("a network of another project", "", "external", "name:shop",
            more="networks:\n  guest_net:\n    external: true\n    name: shop\n"),
    service("a network card of the host", "", "driver:macvlan", "driver_opts.parent:eth0",
            more="networks:\n  guest_net:\n    driver: macvlan\n    driver_opts: {parent: eth0}\n"),
    service("a file as a secret", "", "file:~/.ssh/id_rsa", more="secrets:\n  guest_k:\n    file: ~/.ssh/id_rsa\n"),
    service("a file as a config", "", "file:/etc/shadow", more="configs:\n  guest_k:\n    file: /etc/shadow\n"),
    service("a secret of the shell", "", "environment:AWS_TOKEN",
            more="secrets:\n  guest_k:\n    environment: AWS_TOKEN\n"),
    service("rights for all services", "", "cap_add:SYS_ADMIN",
            more="x-dagster-code:\n  cap_add:\n    - SYS_ADMIN\n"),
    service("a mount for all services", "", "volumes:/", "volumes:/workspace",
            more="x-dagster-code:\n  volumes:\n    - /:/workspace\n"),
    service("a program for all services", "", "environment:LD_PRELOAD",
            more="x-dagster-code:\n  environment:\n    LD_PRELOAD: /x.so\n"),
    service("a file for all services", "", "secrets.source:guest_k", "secrets.target:/opt/dagster/x.py",
            more="secrets:\n  guest_k: {file: ../../projects/guest/k}\nx-dagster-code:\n  secrets:\n"
            "    - source: guest_k\n      target: /opt/dagster/x.py\n"),
    service("a path for all services, in a list", "", "environment:PATH",
            more="x-dagster-code:\n  environment:\n    - PATH=/x\n"),
    service("names for all services", "", "extra_hosts:pypi.org:10.0.0.1",
            more="x-dagster-code:\n  extra_hosts:\n    - pypi.org:10.0.0.1\n"),
    service("an anchor among others' lines", "", "anchor:common",
            more="x-dagster-code:\n  depends_on:\n    guest_db: &common\n      condition: service_started\n"),
)  # fmt: skip

SNIPPETS = (
    snippet("another image", "FROM evil\n", "FROM:evil"),
    snippet("another image, in small letters", "from evil AS x\n", "FROM:evil AS x"),
    snippet("root", "USER root\n", "USER:root"),
    snippet("root, continued", "USER\\\n  root\n", "USER:root"),
    snippet("root, behind an escaped backslash", "RUN echo a\\\\\nUSER root\n", "USER:root"),
    snippet("root, behind a comment in a continuation", "RUN a \\\n  # b\n  && c\nUSER root\n", "USER:root"),
    snippet("root, in a heredoc", "RUN <<E\nUSER root\nE\n", "USER:root"),
    snippet("root, behind a heredoc", "RUN cat <<-E\n\tx\n\tE\nUSER root\n", "USER:root"),
    snippet("another start", 'ENTRYPOINT ["evil"]\n', 'ENTRYPOINT:["evil"]'),
    snippet("another command", "CMD evil\n", "CMD:evil"),
    snippet("another shell", 'SHELL ["evil"]\n', 'SHELL:["evil"]'),
    snippet("a volume", "VOLUME /x\n", "VOLUME:/x"),
    snippet("a later instruction", "ONBUILD RUN evil\n", "ONBUILD:RUN evil"),
    snippet("another check of health", "HEALTHCHECK NONE\n", "HEALTHCHECK:NONE"),
    snippet("another folder", "WORKDIR /x\n", "WORKDIR:/x"),
    snippet("an instruction that is new", "BRANDNEW x\n", "BRANDNEW:x"),
    snippet("a file of the net", "ADD https://x.y/z /z\n", "ADD:https://x.y/z"),
    snippet("a repository of the net", "ADD git@x.y:z.git /z\n", "ADD:git@x.y:z.git"),
    snippet("another parser", "# syntax=evil/frontend\nRUN true\n", "# syntax:evil/frontend"),
    snippet("another escape", "# escape=`\nRUN true\n", "# escape:`"),
    snippet("rights in a build", "RUN --security=insecure true\n", "RUN:--security=insecure"),
    snippet("rights in a build, escaped", "RUN --secu\\rity=insecure true\n", "RUN:--secu\\rity=insecure"),
    snippet("network of the host", "RUN --network=host true\n", "RUN:--network=host"),
    snippet("a device", "RUN --device=x true\n", "RUN:--device=x"),
    snippet("a mount of another image", "RUN --mount=type=bind,from=evil,target=/x true\n",
            "RUN:--mount=type=bind,from=evil,target=/x"),
    snippet("a mount of the workspace", "RUN --mount=target=/x true\n", "RUN:--mount=target=/x"),
    snippet("a mount of another module", "RUN --mount=source=projects/shop,target=/x true\n",
            "RUN:--mount=source=projects/shop,target=/x"),
    snippet("a secret", "RUN --mount=type=secret,id=x true\n", "RUN:--mount=type=secret,id=x"),
    snippet("keys", "RUN true \\\n  && true\nRUN --mount=type=ssh true\n", "RUN:--mount=type=ssh"),
    snippet("a cache of others", "RUN --mount=type=cache,target=/root/.cache true\n",
            "RUN:--mount=type=cache,target=/root/.cache"),
    snippet("a file of another module", "COPY projects/shop/.env /x\n", "COPY:projects/shop/.env"),
    snippet("a file of the workspace", "COPY services/dagster/.env /x\n", "COPY:services/dagster/.env"),
    snippet("out of the own folder", "COPY projects/guest/../../services /x\n", "COPY:projects/guest/../../services"),
    snippet("out of the own folder, escaped", "COPY projects/guest/\\../../x /x\n", "COPY:projects/guest/\\../../x"),
    snippet("a file by variable", "ARG X=services\nCOPY $X/dagster/.env /x\n", "COPY:$X/dagster/.env"),
    snippet("a file of another module, in a list", 'COPY ["projects/shop/x", "/x"]\n', "COPY:projects/shop/x"),
    snippet("a file of another image", "COPY --from=evil projects/guest/x /x\n", "COPY:--from=evil"),
    snippet("a library for all", "ENV LD_PRELOAD=/x.so\n", "ENV:LD_PRELOAD"),
    snippet("a library for all, old form", "ENV LD_PRELOAD /x.so\n", "ENV:LD_PRELOAD"),
    snippet("a library for all, behind another", "ENV A='b c' LD_PRELOAD=/x.so\n", "ENV:LD_PRELOAD"),
    snippet("a library for all, continued", "ENV A=1 \\\n    LD_PRELOAD=/x.so\n", "ENV:LD_PRELOAD"),
    snippet("a path for all", "ENV PATH=/x:$PATH\n", "ENV:PATH"),
    snippet("another Python path", "ENV PYTHONPATH=/x:${PYTHONPATH}\n", "ENV:PYTHONPATH"),
    snippet("another's Python path", "ENV PYTHONPATH=/workspace/projects/shop:${PYTHONPATH}\n", "ENV:PYTHONPATH"),
    snippet("a name that is made", "ENV ${A}=1\n", "ENV:${A}"),
    snippet("quotes that stay open", 'ENV A="b LD_PRELOAD=/x.so\n', 'ENV:A="b LD_PRELOAD=/x.so'),
    snippet("another index for all", "ARG UV_INDEX_URL=https://x.y\n", "ARG:UV_INDEX_URL"),
    snippet("a proxy for all", "ENV https_proxy=http://x.y\n", "ENV:https_proxy"),
)  # fmt: skip

OTHERS = (
    Case("code of another server", LOCATIONS, "load_from:\n  - grpc_server: {host: evil, port: 4000}\n",
         ("grpc_server.host:evil",)),
    Case("another program for code", LOCATIONS,
         "load_from:\n  - python_file: {relative_path: x.py, executable_path: /x}\n",
         ("python_file.executable_path:/x",)),
    Case("a location that is new", LOCATIONS, "load_from:\n  - brand_new: {a: 1}\n", ("brand_new.a:1",)),
)  # fmt: skip

CASES = (*SERVICES, *WHOLE, *SNIPPETS, *OTHERS)
