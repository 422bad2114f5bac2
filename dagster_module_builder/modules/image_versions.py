"""The packages that an image keeps, whatever is added to it: what modules need is compared with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_LONGEST = 12


@dataclass(frozen=True)
class KeptPackage:
    """A package of an image.

    Attributes:
        name: Its normalized name.
        constraint: The versions that it may have, as a constraint: ``dagster==1.8.8``.
        version: Its version; None if only a range is known.
        where: Where that is stated: ``path:line``, or the image that has it.
    """

    name: str
    constraint: str
    version: str | None
    where: str

    def __str__(self) -> str:
        """Return its version and its place: ``dagster==1.8.8 (Dockerfile:2)``."""
        return f"{self.constraint} ({self.where})"


@dataclass(frozen=True)
class ImageVersions:
    """What is known of an image.

    Attributes:
        packages: The packages that it keeps.
        python: Its version of Python: ``3.12``; None if that is not known.
    """

    packages: tuple[KeptPackage, ...] = ()
    python: str | None = None

    @property
    def constraints(self) -> str:
        """The text of a file of constraints."""
        return "".join(f"{package.constraint}\n" for package in self.packages)

    @property
    def has_dagster(self) -> bool:
        """Whether the version of Dagster is known."""
        return any(package.name == "dagster" for package in self.packages)

    def against(self, requirements: Sequence[str]) -> Iterator[tuple[Requirement, KeptPackage]]:
        """Yield the requirements that the version of a package does not meet."""
        versions = {package.name: package for package in self.packages if package.version}
        for requirement in filter(None, map(_parsed, requirements)):
            package = versions.get(canonicalize_name(requirement.name))
            if package and package.version and not requirement.specifier.contains(package.version, prereleases=True):
                yield requirement, package

    def named_in(self, message: str) -> list[KeptPackage]:
        """Return the packages whose versions uv's message blames."""
        return [package for package in self.packages if re.search(_blamed(package), message)]

    def is_unpublished(self, message: str) -> bool:
        """Return whether uv's message says that an index lacks the version that the image has."""
        words = " ".join(message.split())
        pins = (package.constraint.partition(" ;")[0] for package in self.packages if package.version)
        return any(re.search(rf"no version of {_exact(pin)}", words) for pin in pins)


def _blamed(package: KeptPackage) -> str:
    # Uv writes a range in its own way.
    return _exact(package.constraint) if package.version else rf"(?<![\w.-]){re.escape(package.name)}[<>=~!]"


def _exact(constraint: str) -> str:
    return rf"(?<![\w.-]){re.escape(constraint.partition(' ;')[0])}(?![\w.])"


def _parsed(text: str) -> Requirement | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    return requirement if requirement.marker is None or requirement.marker.evaluate() else None


def does_not_fit(image: ImageVersions, modules: Mapping[str, Sequence[str]], message: str) -> str:
    """Return why modules cannot be installed into an image, and what to do.

    Args:
        image: The image.
        modules: The requirements of each module that does not fit, by its name.
        message: Uv's message.
    """
    direct = [(name, *clash) for name, listed in modules.items() for clash in image.against(listed)]
    whom = " and ".join(modules)
    if direct:
        lines = [f"{name} requires {wanted}, but the image has {package}." for name, wanted, package in direct]
        _, wanted, package = direct[0]
        change = f"change {package.name} there to a version that fits {wanted.specifier}"
    else:
        named = image.named_in(message)
        has = f" The image has {', '.join(map(str, named[:3]))}." if named else ""
        lines = [
            f"{whom} cannot be installed into the image, whose packages keep their versions.{has}",
            _short(message),
        ]
        change = "change what the image has"
    typed = " and ".join(f"'workspace.add {name} --code-server own'" for name in modules)
    return "\n".join([*lines, f"Give {whom} a separate code server with {typed}, or {change}."])


def _short(message: str) -> str:
    lines = message.splitlines()
    return "\n".join(lines if len(lines) <= _LONGEST else [*lines[:3], "  …", *lines[-4:]])
