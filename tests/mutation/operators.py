"""Which mutations are made: Cosmic Ray's that can go unnoticed, and three that it does not have."""

from __future__ import annotations

from collections.abc import Iterator

import parso
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import ExprStmt, PythonNode
from parso.tree import NodeOrLeaf

Position = tuple[tuple[int, int], tuple[int, int]]

#: Of the others, most end in a TypeError at once, which says nothing about the tests.
FROM_COSMIC_RAY = (
    "AddNot", "ExceptionReplacer", "ReplaceAndWithOr", "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue", "ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_IsNot_Is", "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceContinueWithBreak", "ReplaceFalseWithTrue", "ReplaceOrWithAnd", "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not", "ZeroIterationForLoop",
)  # fmt: skip


def _effects(suite: NodeOrLeaf) -> list[NodeOrLeaf]:
    """Return the lines of a suite that do something: no docstring, import or definition."""
    lines = suite.children if suite.type == "suite" else []
    return [line for line in lines if line.type == "simple_stmt" and _acts(line.children[0])]


def _acts(statement: NodeOrLeaf) -> bool:
    # A declaration with a default (``x: int = 0``) may stand anywhere among others.
    is_declared = isinstance(statement, ExprStmt) and statement.children[1].type == "annassign"
    return statement.type in {"atom_expr", "raise_stmt"} or (isinstance(statement, ExprStmt) and not is_declared)


class LeaveOutStatement(Operator):
    """Puts ``pass`` in place of a call, a ``raise``, or an assignment to an attribute or item."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Yield each line of a suite that can be left out."""
        for line in self.lines(node):
            yield line.start_pos, line.end_pos

    def mutate(self, node: PythonNode, index: int) -> PythonNode:
        """Replace one line."""
        line = self.lines(node)[index]
        replacement = parso.parse("pass").children[0]
        replacement.prefix = line.get_first_leaf().prefix
        line.children[0] = replacement
        return node

    @staticmethod
    def lines(node: NodeOrLeaf) -> list[NodeOrLeaf]:
        """Return the lines that can be left out."""
        # A name that is no longer assigned fails by itself: only what is stored elsewhere can go unnoticed.
        return [
            line
            for line in _effects(node)
            if not isinstance(line.children[0], ExprStmt) or line.children[0].children[0].type == "atom_expr"
        ]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return what Cosmic Ray's own check of operators asks for."""
        return (Example("def f():\n    g()\n", "def f():\n    pass\n"),)


class SwapStatements(Operator):
    """Carries out two neighbouring lines in the other order."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Yield each pair of neighbours."""
        for place in self._places(node):
            yield node.children[place].start_pos, node.children[place + 1].end_pos

    def mutate(self, node: PythonNode, index: int) -> PythonNode:
        """Exchange one pair."""
        place = self._places(node)[index]
        node.children[place : place + 2] = node.children[place : place + 2][::-1]
        return node

    @staticmethod
    def _places(node: NodeOrLeaf) -> list[int]:
        """Return the places of lines whose next line does something, too: what only names a value has no order."""
        # After a `raise`, nothing is carried out: that is the mutation that leaves a line out.
        effects = {id(line) for line in LeaveOutStatement.lines(node) if line.children[0].type != "raise_stmt"}
        return [
            place
            for place, (first, second) in enumerate(zip(node.children, node.children[1:], strict=False))
            if {id(first), id(second)} <= effects
        ] if effects else []  # fmt: skip

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return what Cosmic Ray's own check of operators asks for."""
        return (Example("def f():\n    g()\n    h()\n", "def f():\n    h()\n    g()\n"),)


class DropClause(Operator):
    """Leaves out one side of ``and`` and ``or``."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Yield each operand."""
        if node.type in {"and_test", "or_test"}:
            for operand in node.children[::2]:
                yield operand.start_pos, operand.end_pos

    def mutate(self, node: PythonNode, index: int) -> PythonNode:
        """Leave out one operand, and the word beside it."""
        prefix = node.get_first_leaf().prefix
        del node.children[max(0, 2 * index - 1) : max(0, 2 * index - 1) + 2]
        node.get_first_leaf().prefix = prefix
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return what Cosmic Ray's own check of operators asks for."""
        return (Example("x = a and b\n", "x = b\n"), Example("x = a and b\n", "x = a\n", occurrence=1))


def operators() -> dict[str, Operator]:
    """Return all operators by name."""
    chosen = {name: get_operator(f"core/{name}")() for name in FROM_COSMIC_RAY}
    return {
        **chosen,
        "LeaveOutStatement": LeaveOutStatement(),
        "SwapStatements": SwapStatements(),
        "DropClause": DropClause(),
    }
