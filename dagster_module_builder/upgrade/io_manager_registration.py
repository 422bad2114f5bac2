"""Register an IO manager in a module's ``Definitions``, changing as few bytes as possible."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
from libcst import matchers

_CALLS = matchers.Name("Definitions") | matchers.Attribute(attr=matchers.Name("Definitions"))
_MERGES = matchers.Attribute(value=_CALLS, attr=matchers.Name("merge"))


@dataclass(frozen=True)
class Registration:
    """The code to insert.

    Attributes:
        imported: The import statement.
        whole: The value of ``resources=`` if there is none yet.
        item: The item to insert into an existing mapping.
    """

    imported: str
    whole: str
    item: str

    @property
    def lines(self) -> str:
        """The lines to add by hand if the file's structure is not supported."""
        return f"{self.imported}\n\ndefs = Definitions(…, resources={self.whole})"

    @property
    def repository_lines(self) -> str:
        """The lines to add to a function that returns a repository's definitions."""
        return f"from dagster import with_resources\n{self.imported}\n\nwith_resources([…], {self.whole})"


def registered(text: bytes, registration: Registration) -> bytes | None:
    """Return the file with the IO manager registered; None if its structure is not supported."""
    try:
        module = cst.parse_module(text)
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        return None
    # Parsing must not lose anything, such as a byte-order mark.
    if module.bytes != text:
        return None
    changed = _registered(module, registration)
    return None if changed is None else _with_import(changed, registration.imported).bytes


def _registered(module: cst.Module, registration: Registration) -> cst.Module | None:
    """Return the module with the only call of ``Definitions``, else of ``Definitions.merge``, changed."""
    calls = matchers.findall(module, matchers.Call(func=_CALLS))
    merges = [] if calls else matchers.findall(module, matchers.Call(func=_MERGES))
    found = [*calls, *merges]
    if len(found) != 1 or not isinstance(call := found[0], cst.Call):
        return None
    after = _merging(call, registration) if merges else _with_resources(call, registration)
    changed = module if after is None else module.deep_replace(call, after)
    return None if after is None or not isinstance(changed, cst.Module) else changed


def _merging(call: cst.Call, registration: Registration) -> cst.Call | None:
    """Return ``Definitions.merge(a)`` as ``Definitions.merge(a, Definitions(resources=…))``."""
    if not isinstance(call.func, cst.Attribute) or any(argument.star or argument.keyword for argument in call.args):
        return None
    value = cst.parse_expression(f"resources={registration.whole}".join(("f(", ")")))
    arguments = value.args if isinstance(value, cst.Call) else ()
    return _appended(call, cst.Arg(cst.Call(call.func.value, arguments)))


def _with_resources(call: cst.Call, registration: Registration) -> cst.Call | None:
    if any(argument.star or argument.keyword is None for argument in call.args):
        return None
    resources = next((argument for argument in call.args if _is_named(argument, "resources")), None)
    if resources is None:
        equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
        return _appended(call, cst.Arg(cst.parse_expression(registration.whole), cst.Name("resources"), equal))
    value = _extended(resources.value, registration)
    return None if value is None else call.with_deep_changes(resources, value=value)


def _is_named(argument: cst.Arg, name: str) -> bool:
    return argument.keyword is not None and argument.keyword.value == name


def _extended(value: cst.BaseExpression, registration: Registration) -> cst.BaseExpression | None:
    mapping = cst.parse_expression("{" + registration.item + ", }")
    if not isinstance(mapping, cst.Dict):
        return None
    (item,) = mapping.elements
    if isinstance(value, (cst.Name, cst.Attribute)):
        rest = cst.StarredDictElement(value)
        return cst.Dict([item.with_changes(comma=_comma()), rest])
    if not isinstance(value, cst.Dict):
        return None
    if not value.elements:
        return value.with_changes(elements=[item.with_changes(comma=cst.MaybeSentinel.DEFAULT)])
    return value.with_changes(elements=[item.with_changes(comma=_comma(_before(value))), *value.elements])


def _before(value: cst.Dict) -> cst.BaseParenthesizableWhitespace:
    """Return the whitespace before each item of a mapping: a newline and an indent, or a space."""
    space = value.lbrace.whitespace_after
    return _without_comments(space) if isinstance(space, cst.ParenthesizedWhitespace) else cst.SimpleWhitespace(" ")


def _comma(after: cst.BaseParenthesizableWhitespace | None = None) -> cst.Comma:
    return cst.Comma(whitespace_after=after or cst.SimpleWhitespace(" "))


def _appended(call: cst.Call, new: cst.Arg) -> cst.Call:
    if not call.args:
        return call.with_changes(args=[new])
    *others, last = call.args
    between = _between(call)
    if not isinstance(last.comma, cst.Comma):
        new = new.with_changes(whitespace_after_arg=last.whitespace_after_arg)
        last = last.with_changes(comma=_comma(between), whitespace_after_arg=cst.SimpleWhitespace(""))
        return call.with_changes(args=[*others, last, new])
    end = last.comma.whitespace_after
    new = new.with_changes(comma=last.comma.with_changes(whitespace_after=_without_comments(end)))
    last = last.with_changes(comma=last.comma.with_changes(whitespace_after=_continued(end, between)))
    return call.with_changes(args=[*others, last, new])


def _between(call: cst.Call) -> cst.BaseParenthesizableWhitespace:
    """Return the whitespace between arguments: a newline and an indent if the first is on a separate line."""
    space = call.whitespace_before_args
    return _without_comments(space) if isinstance(space, cst.ParenthesizedWhitespace) else cst.SimpleWhitespace(" ")


def _without_comments(space: cst.BaseParenthesizableWhitespace) -> cst.BaseParenthesizableWhitespace:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return space
    first = space.first_line.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))
    return space.with_changes(first_line=first, empty_lines=[])


def _continued(
    end: cst.BaseParenthesizableWhitespace, between: cst.BaseParenthesizableWhitespace
) -> cst.BaseParenthesizableWhitespace:
    """Return the whitespace after the formerly last argument, which keeps its comments."""
    if not (isinstance(end, cst.ParenthesizedWhitespace) and isinstance(between, cst.ParenthesizedWhitespace)):
        return between
    return end.with_changes(indent=between.indent, last_line=between.last_line)


def _with_import(module: cst.Module, imported: str) -> cst.Module:
    """Insert an import after the last top-level import, or after the docstring."""
    newline = cst.TrailingWhitespace(newline=cst.Newline(None))
    line = cst.parse_statement(imported).with_changes(trailing_whitespace=newline)
    body = list(module.body)
    imports = [number for number, node in enumerate(body) if _is_import(node)]
    position = imports[-1] + 1 if imports else int(bool(body) and _is_docstring(body[0]))
    return module.with_changes(body=[*body[:position], line, *body[position:]])


def _is_import(node: cst.CSTNode) -> bool:
    return matchers.matches(
        node, matchers.SimpleStatementLine(body=[matchers.AtLeastN(matchers.Import() | matchers.ImportFrom(), n=1)])
    )


def _is_docstring(node: cst.CSTNode) -> bool:
    return matchers.matches(node, matchers.SimpleStatementLine(body=[matchers.Expr(matchers.SimpleString())]))
