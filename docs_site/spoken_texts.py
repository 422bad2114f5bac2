"""What an expression of the code may say: its texts, with ``<name>`` where something is filled in.

Only what stands in the same file is followed: a name to what is assigned to it or passed for it, a call to what the
function returns.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

#: How far a name is followed, and how many texts one expression may have.
_DEPTH, _MOST = 4, 16
UNKNOWN = "…"

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SourceFile:
    """A file of the program."""

    tree: ast.Module
    _above: dict[int, ast.AST] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Remember what each node is in."""
        for node in ast.walk(self.tree):
            self._above.update((id(child), node) for child in ast.iter_child_nodes(node))

    @cached_property
    def functions(self) -> dict[str, _Function]:
        """Every function and method by its name."""
        return {node.name: node for node in ast.walk(self.tree) if isinstance(node, _Function)}

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Yield every call with the name of what is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield called(node), node

    def around(self, node: ast.AST) -> _Function | None:
        """Return the function that a node is in."""
        above = self._above.get(id(node))
        while above is not None and not isinstance(above, _Function):
            above = self._above.get(id(above))
        return above

    def texts(self, node: ast.AST, depth: int = _DEPTH) -> list[str]:
        """Return what an expression may say."""
        if isinstance(node, ast.Constant):
            return [str(node.value)] if isinstance(node.value, str) else [""]
        if isinstance(node, ast.JoinedStr):
            return self._products([self._part(part, depth) for part in node.values])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._products([self.texts(node.left, depth), self.texts(node.right, depth)])
        choices = _choices(node)
        if choices:
            return [text for choice in choices for text in self.texts(choice, depth)][:_MOST]
        followed = [text for one in self._origins(node) for text in self.texts(one, depth - 1)] if depth else []
        return [text for text in followed if text != UNKNOWN][:_MOST] or [named(node)]

    def _part(self, part: ast.expr, depth: int) -> list[str]:
        if not isinstance(part, ast.FormattedValue):
            return self.texts(part, depth)
        quote = "'" if part.conversion == ord("r") else ""
        if isinstance(part.value, ast.IfExp) or (isinstance(part.value, ast.Name) and part.value.id.isupper()):
            return self.texts(part.value, depth)
        return [f"{quote}{named(part.value)}{quote}"]

    def _products(self, parts: Sequence[Sequence[str]]) -> list[str]:
        return ["".join(some) for some in itertools.islice(itertools.product(*parts), _MOST)]

    def _origins(self, node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.Call) and called(node) == "join" and node.args:
            yield from node.args[0].elts if isinstance(node.args[0], ast.List | ast.Tuple) else ()
        elif isinstance(node, ast.Call) and called(node) in self.functions:
            returned = (one for one in ast.walk(self.functions[called(node)]) if isinstance(one, ast.Return))
            yield from (one.value for one in returned if one.value is not None)
        elif isinstance(node, ast.Name):
            yield from self._assigned(node)

    def _assigned(self, name: ast.Name) -> Iterator[ast.AST]:
        function = self.around(name)
        for one in ast.walk(function or self.tree):
            if name.id in _targets(one):
                yield one.value  # type: ignore[attr-defined] # what is assigned
        for one in self.tree.body if function else ():
            if name.id in _targets(one):
                yield one.value  # type: ignore[attr-defined] # a constant of the file
        yield from self._passed(function, name.id) if function else ()

    def _passed(self, function: _Function, name: str) -> Iterator[ast.AST]:
        arguments = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        place = arguments.index(name) - (arguments[:1] == ["self"]) if name in arguments else None
        for word, call in self.calls():
            if word == function.name:
                yield from (key.value for key in call.keywords if key.arg == name)
                yield from call.args[place : place + 1] if place is not None else ()


def called(call: ast.Call) -> str:
    """Return the name of what is called, without what it is an attribute of."""
    function = call.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def named(node: ast.AST) -> str:
    """Return what stands for a value that is filled in: the last name of its expression.

    >>> named(ast.parse("module.folder_name", mode="eval").body)
    '<folder name>'
    """
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return f"<{name.strip('_').replace('_', ' ')}>" if name and not name.isupper() else UNKNOWN


def _choices(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.IfExp):
        return (node.body, node.orelse)
    return node.values if isinstance(node, ast.BoolOp) else ()


def _targets(node: ast.AST) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.NamedExpr) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}
