"""Compose projects made at random: a service, and another file or service that changes it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

OVERRIDE, EXTENDS, EXTENDS_FILE = "override", "extends", "extends a file"
_TOP = {
    "volumes": {"v0": {}, "v1": {}, "v2": {}},
    "networks": {"n1": {}, "n2": {}},
    "configs": {"c1": {"file": "./c.txt"}},
}


class Tagged:
    """A value that is written with one of Compose's tags."""

    def __init__(self, tag: str, value: Any) -> None:
        self.tag, self.value = tag, value


class _Dumper(yaml.SafeDumper):
    pass


def _represented(dumper: yaml.SafeDumper, tagged: Tagged) -> yaml.Node:
    node = dumper.represent_data(tagged.value)
    node.tag = f"!{tagged.tag}"
    return node


_Dumper.add_representer(Tagged, _represented)


class ProjectMaker:
    """Makes one project of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def make(self, folder: Path, way: str) -> list[Path]:
        """Write a project, and return the files that Compose gets."""
        for name, text in (("e1.env", "E=1\nA=env\n"), ("e2.env", "E=2\nF=3\n"), ("c.txt", "")):
            (folder / name).write_text(text)
        base = {"image": "base", **self._service()}
        services = {"s1": base, "s2": {"image": "x"}, "s3": {"image": "y"}}
        main = folder / "compose.yml"
        if way == OVERRIDE:
            self._write(main, {"services": services, **_TOP})
            self._write(folder / "compose.override.yml", {"services": {"s1": self._tagged()}})
            return [main, folder / "compose.override.yml"]
        extends = {"service": "s1"}
        if way == EXTENDS_FILE:
            (folder / "d").mkdir()
            for name in ("e1.env", "e2.env"):
                (folder / "d" / name).write_text("E=d\n")
            self._write(folder / "d" / "f.yml", {"services": {"s1": base}})
            services["s1"] = {"image": "other"}
            extends["file"] = "d/f.yml"
        self._write(main, {"services": {**services, "s4": {**self._service(), "extends": extends}}, **_TOP})
        return [main]

    def _write(self, path: Path, data: Any) -> None:
        path.write_text(yaml.dump(data, Dumper=_Dumper))

    def _service(self) -> dict[str, Any]:
        makers = {
            "build": self._build,
            "command": lambda: self._one("run a b", ["x", "y"], None),
            "configs": lambda: [self._one("c1", {"source": "c1", "target": "/cc"})],
            "depends_on": self._depends_on,
            "dns": lambda: self._one("1.1.1.1", ["8.8.8.8"]),
            "entrypoint": lambda: self._one("/e", ["e", "f"]),
            "env_file": lambda: self._one("e1.env", ["e1.env", "e2.env"], [{"path": "e2.env", "required": False}]),
            "environment": self._variables,
            "labels": self._variables,
            "networks": self._networks,
            "ports": self._ports,
            "profiles": lambda: self._some("p", "q"),
            "tmpfs": lambda: self._one("/t", ["/t", "/u"]),
            "volumes": self._volumes,
            "working_dir": lambda: self._one("/w", "/v"),
        }
        return {key: makers[key]() for key in self.random.sample(sorted(makers), self.random.randint(1, 7))}

    def _tagged(self) -> dict[str, Any]:
        """Return a service some of whose values replace or remove what they meet."""
        service = self._service()
        for key, value in service.items():
            if isinstance(value, list | dict) and self.random.random() < 0.2:
                service[key] = Tagged(self._one("override", "reset"), value)
        return service

    def _one(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def _some(self, *choices: Any) -> list[Any]:
        return self.random.sample(choices, self.random.randint(0, len(choices)))

    def _build(self) -> Any:
        return self._one(
            ".",
            {"context": "./c"},
            {"dockerfile": "D2"},
            {"context": ".", "args": {"X": "1"}},
            {"context": ".", "args": ["X=2", "Y=3"]},
            {"target": "t", "context": "."},
        )

    def _variables(self) -> Any:
        names = self._some("A", "B", "C", "D")
        if self._one(True, False):
            return [f"{name}={self.random.randint(0, 9)}" for name in names]
        return {name: self._one(1, "x", True, None, "${Z:-d}", "${Z:-${Y:-deep}}", 1.5, "a$$b") for name in names}

    def _depends_on(self) -> Any:
        names = self._some("s2", "s3")
        return names if self._one(True, False) else {name: {"condition": "service_started"} for name in names}

    def _networks(self) -> Any:
        names = self._some("n1", "n2")
        if self._one(True, False):
            return [self._one(name, f"${{NET:-{name}}}") for name in names]
        return {name: self._one(None, {"aliases": ["q"]}) for name in names}

    def _ports(self) -> list[Any]:
        return [
            self._one(f"300{i}:3000", {"target": 80 + i, "published": str(8000 + i)}, f"127.0.0.1:400{i}:40", f"50{i}")
            for i in self._some(1, 2, 3)
        ]

    def _volumes(self) -> list[Any]:
        return [
            self._one(
                f"./x:{target}",
                f"v0:{target}",
                f"./y:{target}:ro",
                f"${{Q:-${{P:-./q}}}}:{target}",
                f"${{Q:-v2}}:/{target}",
                {"type": "bind", "source": "./z", "target": target},
                {"type": "volume", "source": "v1", "target": target, "read_only": True},
            )
            for target in self._some("/a", "/b/", "/c", "/d")
        ]
