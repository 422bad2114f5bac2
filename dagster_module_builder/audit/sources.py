"""The Python files of a project, which can import from each other: what their names mean, and what they read."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from dagster_module_builder.audit.syntax import (
    IO_MANAGER_BASES,
    READS,
    ImportedName,
    SourceFile,
    SourcePosition,
    Variable,
    last_name,
    read_of,
)

_IO_MANAGER_DECORATORS = frozenset({"io_manager"})
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Sources:
    """All files of a project, which can import from each other."""

    files: Sequence[SourceFile]

    @cached_property
    def _by_last_part(self) -> Mapping[str, Sequence[tuple[tuple[str, ...], SourceFile]]]:
        """The files by the last part of their modules' names, each with all parts."""
        files: dict[str, list[tuple[tuple[str, ...], SourceFile]]] = {}
        for file in self.files:
            parts = _module_of(file.path)
            files.setdefault(parts[-1], []).append((parts, file))
        return files

    def _imported_from(self, file: SourceFile, imported: ImportedName) -> Sequence[SourceFile]:
        """Return the files that an import may mean: those whose names agree with it in the most parts."""
        wanted = imported.module if imported.module != ("",) else ()
        if imported.level:
            folder = file.path.parents[imported.level - 1] if imported.level <= len(file.path.parents) else file.path
            wanted = (*folder.parts, *wanted)
        if wanted not in self._known:
            candidates = self._by_last_part.get(wanted[-1], ()) if wanted else ()
            agreeing = [(_common_end(parts, wanted), other) for parts, other in candidates]
            most = len(wanted) if imported.level else max((count for count, _ in agreeing), default=0)
            self._known[wanted] = [other for count, other in agreeing if count == most]
        return self._known[wanted]

    @cached_property
    def _known(self) -> dict[tuple[str, ...], Sequence[SourceFile]]:
        return {}

    @cached_property
    def _values(self) -> dict[tuple[Path, str, int], tuple[SourceFile, ast.expr] | None]:
        return {}

    def value_of(self, file: SourceFile, name: str, depth: int = 4) -> tuple[SourceFile, ast.expr] | None:
        """Return the file and expression that define a top-level name, following imports within the project."""
        key = (file.path, name, depth)
        if key not in self._values:
            self._values[key] = self._value_of(file, name, depth)
        return self._values[key]

    def _value_of(self, file: SourceFile, name: str, depth: int) -> tuple[SourceFile, ast.expr] | None:
        if name in file.assigned:
            return file, file.assigned[name]
        if name not in file.imported or not depth:
            return None
        imported = file.imported[name]
        for other in self._imported_from(file, imported):
            if other is not file and (definition := self.value_of(other, imported.name, depth - 1)):
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
            nodes = file.nodes_of(*READS)
            reads = [(node, read, self.text(file, read.name)) for node in nodes if (read := read_of(node))]
            for node, read, name in reads:
                if name:
                    yield Variable(name, SourcePosition(file.path, node.lineno), read.required, read.is_env_var)
            if any(name is None for *_, name in reads):
                yield from self._through_functions(file)

    def _through_functions(self, file: SourceFile) -> Iterator[Variable]:
        """Yield the variables that functions read whose name, or part of it, is an argument."""
        for function in file.functions:
            parameters = [argument.arg for argument in function.args.args]
            reads = [read for node in ast.walk(function) if (read := read_of(node))]
            open_reads = [read for read in reads if self.text(file, read.name) is None]
            for call in file.calls(function.name) if open_reads else ():
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
        functions = [(file, node) for file in self.files for node in file.nodes_of(ast.FunctionDef)]
        decorated = [pair for pair in functions if _IO_MANAGER_DECORATORS & set(map(last_name, pair[1].decorator_list))]
        return [*self._io_manager_classes(), *decorated]

    def _io_manager_classes(self) -> Iterator[tuple[SourceFile, ast.ClassDef]]:
        """Yield each subclass once; a class can come before its base class, or be in another file."""
        pending: dict[str, list[tuple[SourceFile, ast.ClassDef]]] = {}
        for file in self.files:
            for node in file.nodes_of(ast.ClassDef):
                for base in map(last_name, node.bases):
                    pending.setdefault(base, []).append((file, node))
        names, seen = [*sorted(IO_MANAGER_BASES)], set()
        for name in names:
            for file, node in pending.pop(name, ()):
                if id(node) not in seen:
                    seen.add(id(node))
                    names.append(node.name)
                    yield file, node


def _module_of(path: Path) -> tuple[str, ...]:
    """Return the parts of the name of a file's module, from the root folder on."""
    return path.parent.parts if path.stem == "__init__" else (*path.parent.parts, path.stem)


def _common_end(parts: Sequence[str], wanted: Sequence[str]) -> int:
    """Return how many parts at the end agree: ``("x", "a", "b"), ("y", "a", "b") -> 2``."""
    count = 0
    for one, other in zip(reversed(parts), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


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
