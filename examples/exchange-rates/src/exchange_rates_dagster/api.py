"""The API that publishes the rates, page by page."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import httpx

TIMEOUT = 10  # seconds


class RatesApi(dg.ConfigurableResource["RatesApi"]):
    """Reads ``GET <url>/rates?page=1``, which answers ``{"rates": [{…}, …], "next_page": 2}``, on the last page ``null``."""

    url: str

    def rates(self) -> Iterator[dict[str, Any]]:
        """Yield the rates of all pages.

        Raises:
            dagster.Failure: The API refuses the request; asking again would not help.
            httpx.HTTPError: The API cannot be reached, or is busy.
        """
        with httpx.Client(base_url=self.url, timeout=TIMEOUT) as client:
            page: int | None = 1
            while page:
                content = _content(client.get("rates", params={"page": page}))
                yield from content["rates"]
                page = content["next_page"]


def _content(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise dg.Failure(f"{answer.url} answers {answer.status_code} {answer.reason_phrase}", allow_retries=False)
    content: dict[str, Any] = answer.raise_for_status().json()
    return content
