"""Names of images: those that the engine takes for one image are the same here."""

from __future__ import annotations

_HUBS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_OFFICIAL = "library/"
_TAG = ":latest"


def full_name(name: str) -> str:
    """Return an image's name with all that Docker adds: ``"x" -> "docker.io/library/x:latest"``.

    The rules are those of https://github.com/distribution/reference.
    """
    first, slash, rest = name.strip().partition("/")
    has_registry = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    registry, path = (first, rest) if has_registry else (_HUBS[0], name.strip())
    if registry in _HUBS:
        registry, path = _HUBS[0], path if "/" in path else f"{_OFFICIAL}{path}"
    return f"{registry}/{path}{'' if _has_version(path) else _TAG}"


def _has_version(path: str) -> bool:
    return "@" in path or ":" in path.rpartition("/")[2]
