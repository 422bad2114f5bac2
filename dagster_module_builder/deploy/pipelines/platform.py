"""The description of a platform, and how its file is made from the description of a pipeline."""

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
    """The differences between platforms.

    Attributes:
        title: Its name, as people write it.
        template: Its file in ``templates/``.
        places: Returns the possible paths of a pipeline's file below the repository's top, the best one first.
        pattern: A pattern for all such paths.
        kind: The file's format, if our lines can be marked in it; None if the whole file must be ours.
        shares: Whether the first path may be a file with other people's lines.
        secret: The shell command that prints a secret; ``{}`` stands for its variable.
        values: Returns further values for the template, given the other lines of the file.
        mentions: Returns the names in a guide that may change: see ``PipelineFile``.
        removes_work: Whether jobs have to remove their working folder.
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
        """Return our lines, given the other lines of the file."""
        context = {"pipeline": pipeline, "removes_work": self.removes_work, "read": self._read}
        return _environment().get_template(self.template).render({**context, **self.values(pipeline, others)})

    def _read(self, name: str) -> str:
        return self.secret.replace("{}", name)

    @functools.cached_property
    def public(self) -> frozenset[str]:
        """The lines of the templates that contain no value of a deployment."""
        own = sorted(TEMPLATES.glob(f"{Path(self.template).stem}*"))
        texts = [path.read_text("utf-8") for path in (*own, TEMPLATES / _SHELL)]
        lines = (line.strip() for text in texts for line in text.splitlines())
        return frozenset(line for line in lines if line and not re.search(r"\[\[|\[%|\[#|[%#\]]\]", line))


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # slow to load, and only writing a pipeline needs it

    made = jinja2.Environment(  # noqa: S701 - shell, YAML and Groovy are not HTML
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Braces are used by the platforms' own expressions.
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
    """Return the watched paths as patterns: the files below each, and the path itself, which may be a file.

    ``("projects/sales", "libs") -> ["projects/sales/**", "libs", "libs/**"]`` for the module in ``projects/sales``.
    """
    return [
        pattern
        for path in pipeline.watched
        for pattern in ([] if path == pipeline.inside else [path]) + [f"{path}{everything_below}"]
    ]
