"""What every platform says of itself, and how its file is made from a description."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

    from dagster_module_builder.deploy.pipelines.description import Pipeline
    from dagster_module_builder.shared_files.formats.shared_file import SharedFile

TEMPLATES = Path(__file__).parent / "templates"
_SHELL = "shell.jinja"


@dataclass(frozen=True)
class Platform:
    """What differs from platform to platform.

    Attributes:
        title: Its name, as people write it.
        template: Its file in ``templates/``.
        places: Where the file of a pipeline may be, below the repository's top, the best one first.
        pattern: The pattern of all such places.
        kind: The file's format, where parts of it can be marked as ours; None where it has to be ours as a whole.
        shares: Whether the first place may hold lines of others too.
        secret: The shell command that writes a secret out; ``{}`` stands for its variable.
        values: What its template needs beside the description, given the lines of others in the file.
        mentions: Where a guide names what may change, as ``PipelineFile`` has it.
        removes_work: Whether jobs have to remove the folder of what they make.
    """

    title: str
    template: str
    places: Callable[[Pipeline], tuple[str, ...]]
    pattern: str
    kind: SharedFile | None
    shares: bool
    secret: str
    values: Callable[[Pipeline, Sequence[bytes]], Mapping[str, Any]]
    mentions: Callable[[Pipeline, str], Sequence[tuple[re.Pattern[str], str]]]
    removes_work: bool = True

    def text(self, pipeline: Pipeline, others: Sequence[bytes]) -> str:
        """Return what goes into the file, beside these lines of others."""
        given = {"pipeline": pipeline, "removes_work": self.removes_work, "read": self._read}
        return _environment().get_template(self.template).render({**given, **self.values(pipeline, others)})

    def _read(self, name: str) -> str:
        return self.secret.replace("{}", name)

    @functools.cached_property
    def public(self) -> frozenset[str]:
        """The lines of the templates into which nothing of a deployment is put."""
        own = sorted(TEMPLATES.glob(f"{Path(self.template).stem}*"))
        texts = [path.read_text("utf-8") for path in (*own, TEMPLATES / _SHELL)]
        lines = (line.strip() for text in texts for line in text.splitlines())
        return frozenset(line for line in lines if line and not re.search(r"\[\[|\[%|\[#|[%#\]]\]", line))


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # only who writes a pipeline waits for it

    made = jinja2.Environment(  # noqa: S701 - shell, YAML and Groovy are not HTML
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Braces belong to the platforms' own expressions.
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["quoted"] = json.dumps
    made.filters["groovy"] = lambda text: text.replace("\\", "\\\\")
    return made


def patterns(pipeline: Pipeline, everything_below: str) -> list[str]:
    """Return the watched paths as patterns: a folder's files, and what may be a file by itself.

    ``("projects/sales", "libs")`` with ``/**`` in the first is ``["projects/sales/**", "libs", "libs/**"]``.
    """
    return [
        pattern
        for path in pipeline.watched
        for pattern in ([] if path == pipeline.inside else [path]) + [f"{path}{everything_below}"]
    ]
