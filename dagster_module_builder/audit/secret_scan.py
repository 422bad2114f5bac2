"""Find what looks like a secret with detect-secrets, run only on files where one of its rules can match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file, scan_line
from detect_secrets.plugins.keyword import DENYLIST, QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP
from detect_secrets.settings import transient_settings

from dagster_module_builder.shared_files.formats.yaml_text import refuse_boundless

#: detect-secrets' rules for secrets of a known form, and for values assigned to names such as ``password``.
_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector",
    "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "KeywordDetector", "MailchimpDetector",
    "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_FILTERS = (
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_likely_id_string",
    "detect_secrets.filters.heuristic.is_sequential_string",
    "detect_secrets.filters.heuristic.is_templated_secret",
    "detect_secrets.filters.heuristic.is_indirect_reference",
    "detect_secrets.filters.heuristic.is_not_alphanumeric_string",
    "detect_secrets.filters.heuristic.is_prefixed_with_dollar_sign",
)
#: Formats whose values may continue in the next line.
_FOLDED = frozenset({".eyaml", ".yaml", ".yml"})
#: The words in all their spellings, which are found ten times as fast as by the patterns: ``api_?key`` has two.
WORDS = frozenset(word.replace("_?", between) for word in DENYLIST for between in ("_", ""))


def secrets_in(paths: Sequence[Path]) -> Iterator[tuple[Path, PotentialSecret]]:
    """Yield each file and potential secret, ordered by file and line."""
    rules = {
        "plugins_used": [{"name": name} for name in _PLUGINS],
        "filters_used": [{"path": path} for path in _FILTERS],
    }
    forms, assignments = _forms(), [_by_lines(pattern) for pattern in QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP]
    with transient_settings(rules):
        for path in paths:
            if _can_match(path, forms, assignments):
                for secret in sorted(_scanned(path), key=lambda secret: secret.line_number):
                    yield path, secret


def _scanned(path: Path) -> Iterator[PotentialSecret]:
    """Scan a file with detect-secrets; scan YAML that could expand without bound line by line."""
    try:
        if path.suffix in _FOLDED:
            refuse_boundless(path.read_bytes())
    except yaml.YAMLError:
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            for secret in scan_line(line):
                secret.line_number = number
                yield secret
    else:
        yield from scan_file(str(path))


def _can_match(path: Path, forms: Sequence[re.Pattern[str]], assignments: Sequence[re.Pattern[str]]) -> bool:
    """Return whether a rule can match in a file; much faster than scanning its lines."""
    if path.suffix in _FOLDED:
        return True
    text = path.read_text("utf-8", "replace")
    if _has_word(text):
        # detect-secrets adds quotes to values in other files before it scans them.
        return path.suffix != ".py" or any(pattern.search(text) for pattern in (*forms, *assignments))
    return any(form.search(text) for form in forms)


def _has_word(text: str) -> bool:
    lower = text.casefold()
    return any(word in lower for word in WORDS)


def _forms() -> list[re.Pattern[str]]:
    plugins: Mapping[str, type] = get_mapping_from_secret_type_to_class()
    chosen = [plugin for plugin in plugins.values() if plugin.__name__ in _PLUGINS]
    return [_by_lines(pattern) for plugin in chosen for pattern in getattr(plugin, "denylist", ())]


def _by_lines(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return the pattern with ``^`` and ``$`` matching at every line."""
    return re.compile(pattern.pattern, pattern.flags | re.MULTILINE)
