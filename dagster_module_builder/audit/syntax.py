"""A project's Python files as syntax trees; nothing is imported or run."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

#: Types of what has nothing in it: constants' values, and nodes that say how a name or an operator is used.
_LEAVES = frozenset(
    {bool, bytes, complex, float, int, str, type(None), type(...)}
    | {
        kind
        for base in (ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop)
        for kind in base.__subclasses__()
    }
)
#: Names of Dagster's IO manager base classes; a subclass is a custom IO manager.
IO_MANAGER_BASES = frozenset(
    {
        "IOManager",
        "UPathIOManager",
        "ConfigurableIOManager",
        "ConfigurableIOManagerFactory",
        "ConfigurableLegacyIOManagerAdapter",
        "InputManager",
    }
)
Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True)
class SourcePosition:
    """A line in a file."""

    path: Path
    line: int


@dataclass(frozen=True)
class Variable:
    """An environment variable that the code reads; ``required`` if there is no default."""

    name: str
    position: SourcePosition
    required: bool
    is_env_var: bool


@dataclass(frozen=True)
class ImportedName:
    """A name that is imported: ``from ..a.b import c`` has level 2, module ``("a", "b")`` and name ``c``."""

    level: int
    module: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class SourceFile:
    """One parsed file; ``problem`` if it is not valid Python."""

    path: Path
    tree: ast.Module
    problem: SyntaxError | None = None

    @cached_property
    def nodes(self) -> Sequence[ast.AST]:
        """Every node of the tree, but for those that say only how a name or an operator is used; breadth first."""
        nodes: list[ast.AST] = [self.tree]
        # This goes through every line of a project: ``ast.walk`` takes twice the time.
        for node in nodes:
            for value in vars(node).values():
                kind = value.__class__
                if kind is list:
                    nodes.extend([item for item in value if item.__class__ not in _LEAVES])
                elif kind not in _LEAVES:
                    nodes.append(value)
        return nodes

    @cached_property
    def _by_type(self) -> Mapping[type, Sequence[ast.AST]]:
        by_type: dict[type, list[ast.AST]] = defaultdict(list)
        for node in self.nodes:
            by_type[node.__class__].append(node)
        return by_type

    def nodes_of(self, *types: type[Node]) -> list[Node]:
        """Return the statements and expressions of some types; of several types in file order."""
        found = [node for kind in types for node in self._by_type.get(kind, ()) if isinstance(node, kind)]
        return found if len(types) == 1 else sorted(found, key=_position)

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Return the calls of functions or classes with these last names, in file order."""
        calls = [call for name in dict.fromkeys(names) for call in self._calls.get(name, ())]
        return iter(sorted(calls, key=lambda call: (call.lineno, call.col_offset)))

    @cached_property
    def _calls(self) -> Mapping[str, Sequence[ast.Call]]:
        calls: dict[str, list[ast.Call]] = {}
        for call in self.nodes_of(ast.Call):
            calls.setdefault(last_name(call.func), []).append(call)
        return calls

    @cached_property
    def assigned(self) -> Mapping[str, ast.expr]:
        """Top-level names and the expressions assigned to them."""
        values: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                values |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                values[node.target.id] = node.value
        return values

    @cached_property
    def imported(self) -> Mapping[str, ImportedName]:
        """What ``from`` imports, by its local name."""
        return {
            alias.asname or alias.name: ImportedName(node.level, tuple((node.module or "").split(".")), alias.name)
            for node in self.nodes_of(ast.ImportFrom)
            for alias in node.names
        }

    @cached_property
    def functions(self) -> Sequence[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Its functions and methods, in file order."""
        return sorted([*self.nodes_of(ast.FunctionDef), *self.nodes_of(ast.AsyncFunctionDef)], key=_position)

    @cached_property
    def decorators(self) -> frozenset[str]:
        """The last names of the decorators of its functions and classes."""
        nodes = [*self.functions, *self.nodes_of(ast.ClassDef)]
        return frozenset(last_name(decorator) for node in nodes for decorator in node.decorator_list)

    @cached_property
    def packages(self) -> Sequence[str]:
        """The dotted names of the modules that are imported."""
        named = [alias.name for node in self.nodes_of(ast.Import) for alias in node.names]
        return [*named, *(node.module or "" for node in self.nodes_of(ast.ImportFrom))]


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def parsed(path: Path, content: bytes) -> SourceFile:
    """Parse a file; invalid Python gives an empty tree and the problem."""
    try:
        return SourceFile(path, ast.parse(content, str(path)))
    except SyntaxError as error:
        return SourceFile(path, ast.Module([], []), error)
    except (MemoryError, RecursionError, ValueError):
        problem = SyntaxError("it is nested too deeply, or holds a NUL byte")
        return SourceFile(path, ast.Module([], []), problem)


def last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name (``dg.EnvVar`` -> ``EnvVar``), or an empty string."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@dataclass(frozen=True)
class Read:
    """An expression that reads an environment variable: the expression of its name, and whether it needs it."""

    name: ast.expr
    required: bool
    is_env_var: bool = False


#: The expressions that can read a variable.
READS = (ast.Subscript, ast.Call)


def read_of(node: ast.AST) -> Read | None:
    """Return the environment variable that an expression reads, or None."""
    if isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.ctx, ast.Load):
        return Read(node.slice, required=True)
    if not isinstance(node, ast.Call) or not node.args:
        return None
    name = last_name(node.func)
    of_environ = isinstance(node.func, ast.Attribute) and _is_environ(node.func.value)
    if name == "getenv" or (of_environ and name == "get"):
        return Read(node.args[0], required=False)
    if name == "EnvVar" or (isinstance(node.func, ast.Attribute) and last_name(node.func.value) == "EnvVar"):
        return Read(node.args[0], required=True, is_env_var=True)
    return None


def _is_environ(node: ast.AST) -> bool:
    return last_name(node) == "environ"
