"""A project's Python files as syntax trees; nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

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
_IO_MANAGER_DECORATORS = frozenset({"io_manager"})
_NOTHING: Mapping[str, str] = MappingProxyType({})


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
class SourceFile:
    """One parsed file; ``problem`` if it is not valid Python."""

    path: Path
    tree: ast.Module
    problem: SyntaxError | None = None

    @cached_property
    def nodes(self) -> Sequence[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Return the calls of functions or classes with these last names, in file order."""
        calls = [call for name in dict.fromkeys(names) for call in self._calls.get(name, ())]
        return iter(sorted(calls, key=lambda call: (call.lineno, call.col_offset)))

    @cached_property
    def _calls(self) -> Mapping[str, Sequence[ast.Call]]:
        calls: dict[str, list[ast.Call]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Call):
                calls.setdefault(last_name(node.func), []).append(node)
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
    def imported(self) -> Mapping[str, tuple[str, str]]:
        """Imported names: the local name -> the module's last part, and the name in that module."""
        return {
            alias.asname or alias.name: ((node.module or "").rpartition(".")[2], alias.name)
            for node in self.nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    @cached_property
    def packages(self) -> Sequence[str]:
        """The dotted names of the modules that are imported."""
        named = [alias.name for node in self.nodes if isinstance(node, ast.Import) for alias in node.names]
        return [*named, *(node.module or "" for node in self.nodes if isinstance(node, ast.ImportFrom))]


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
class Sources:
    """All files of a project, which can import from each other."""

    files: Sequence[SourceFile]

    @cached_property
    def _by_module(self) -> Mapping[str, Sequence[SourceFile]]:
        files: dict[str, list[SourceFile]] = {}
        for file in self.files:
            names = {file.path.stem, file.path.parent.name, ""} if file.path.stem == "__init__" else {file.path.stem}
            for name in names:
                files.setdefault(name, []).append(file)
        return files

    def value_of(self, file: SourceFile, name: str, depth: int = 4) -> tuple[SourceFile, ast.expr] | None:
        """Return the file and expression that define a top-level name, following imports within the project."""
        if name in file.assigned:
            return file, file.assigned[name]
        if name not in file.imported or not depth:
            return None
        module, original = file.imported[name]
        for other in self._by_module.get(module, ()):
            if other is not file and (definition := self.value_of(other, original, depth - 1)):
                return definition
        return None

    def text(
        self, file: SourceFile, node: ast.AST, known: Mapping[str, str] = _NOTHING, within: Sequence[ast.expr] = ()
    ) -> str | None:
        """Return the string that an expression always has, or None if it depends on the run.

        Args:
            file: The file that contains it.
            node: The expression.
            known: Strings of names that are already known.
            within: The enclosing expressions of the search; prevents endless recursion through a name.
        """
        texts = [self._text_of_part(file, part, known, within) for part in _parts(node)]
        return None if None in texts else "".join(map(str, texts))

    def _text_of_part(
        self, file: SourceFile, part: ast.AST, known: Mapping[str, str], within: Sequence[ast.expr]
    ) -> str | None:
        if isinstance(part, ast.Constant):
            return part.value if isinstance(part.value, str) else None
        if not isinstance(part, ast.Name):
            return None
        if part.id in known:
            return known[part.id]
        definition = self.value_of(file, part.id)
        if definition is None or definition[1] in within:
            return None
        return self.text(*definition, within=[*within, definition[1]])

    def variables(self) -> Iterator[Variable]:
        """Yield the environment variables whose names are known without running the code."""
        for file in self.files:
            reads = [(node, read, self.text(file, read.name)) for node in file.nodes if (read := _read_of(node))]
            for node, read, name in reads:
                if name:
                    yield Variable(name, SourcePosition(file.path, node.lineno), read.required, read.is_env_var)  # type: ignore[attr-defined]
            if any(name is None for *_, name in reads):
                yield from self._through_functions(file)

    def _through_functions(self, file: SourceFile) -> Iterator[Variable]:
        """Yield the variables that functions read whose name, or part of it, is an argument."""
        for function in (node for node in file.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            parameters = [argument.arg for argument in function.args.args]
            reads = [read for node in ast.walk(function) if (read := _read_of(node))]
            open_reads = [read for read in reads if self.text(file, read.name) is None]
            for call in file.calls(function.name):
                texts = {
                    name: text
                    for name, value in zip(parameters, call.args, strict=False)
                    if (text := self.text(file, value)) is not None
                }
                for read in open_reads:
                    if name := self.text(file, read.name, texts):
                        yield Variable(name, SourcePosition(file.path, call.lineno), read.required, read.is_env_var)

    @cached_property
    def io_managers(self) -> Sequence[tuple[SourceFile, ast.ClassDef | ast.FunctionDef]]:
        """The custom IO managers: subclasses of Dagster's base classes, and functions that return one."""
        names = set(IO_MANAGER_BASES)
        managers: list[tuple[SourceFile, ast.ClassDef | ast.FunctionDef]] = []
        classes = [(file, node) for file in self.files for node in file.nodes if isinstance(node, ast.ClassDef)]
        # A class can come before its base class, or be in another file.
        while more := [pair for pair in classes if pair not in managers and names & set(map(last_name, pair[1].bases))]:
            managers += more
            names |= {node.name for _, node in more}
        functions = [(file, node) for file in self.files for node in file.nodes if isinstance(node, ast.FunctionDef)]
        managers += [pair for pair in functions if _IO_MANAGER_DECORATORS & set(map(last_name, pair[1].decorator_list))]
        return managers


@dataclass(frozen=True)
class _Read:
    name: ast.expr
    required: bool
    is_env_var: bool = False


def _read_of(node: ast.AST) -> _Read | None:
    """Return the environment variable that an expression reads, or None."""
    if isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.ctx, ast.Load):
        return _Read(node.slice, required=True)
    if not isinstance(node, ast.Call) or not node.args:
        return None
    name = last_name(node.func)
    of_environ = isinstance(node.func, ast.Attribute) and _is_environ(node.func.value)
    if name == "getenv" or (of_environ and name == "get"):
        return _Read(node.args[0], required=False)
    if name == "EnvVar" or (isinstance(node.func, ast.Attribute) and last_name(node.func.value) == "EnvVar"):
        return _Read(node.args[0], required=True, is_env_var=True)
    return None


def _is_environ(node: ast.AST) -> bool:
    return last_name(node) == "environ"


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a string expression in order: ``f"{a}b" + c`` -> ``a``, ``"b"``, ``c``."""
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, ast.FormattedValue):
            pending.append(part.value)
        elif isinstance(part, ast.JoinedStr):
            pending += reversed(part.values)
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            pending += [part.right, part.left]
        else:
            yield part
