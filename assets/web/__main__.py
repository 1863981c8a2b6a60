"""`python -m assets.web …` is `dagster-webserver …`, `python -m assets.web dev …` is `dagster dev …`, both guarded."""

import sys
from collections.abc import Sequence
from typing import Any

import dagster_webserver.app
from dagster._cli import dev
from dagster_webserver import cli
from dagster_webserver.webserver import DagsterWebserver
from sqlalchemy.exc import OperationalError
from starlette.middleware import Middleware
from starlette.routing import Route

from assets import history
from assets.web import Guard, reports
from pipeline.errors import PipelineError


class OurWebserver(DagsterWebserver):
    """Dagster's webserver behind the guard, with the reports beside its pages."""

    def build_middleware(self) -> list[Middleware]:
        """Return the guard, then Dagster's own middleware."""
        return [Middleware(Guard), *super().build_middleware()]

    def build_routes(self) -> list[Any]:
        """Return the reports, then Dagster's own pages."""
        return [Route(reports.ROUTE, reports.answer), *super().build_routes()]


def main() -> None:
    """Run the webserver, or with `dev` as the first argument Dagster's webserver and daemon.

    The history is opened first: not while several processes make its tables, and its faults are one sentence.
    """
    try:
        history.opened().dispose()
    except PipelineError as fault:
        sys.exit(str(fault))
    except (OSError, OperationalError) as error:
        sys.exit(history.fault(error) or repr(error))
    if sys.argv[1:2] != ["dev"]:
        dagster_webserver.app.DagsterWebserver = OurWebserver  # type: ignore[misc]
        cli.main()
        return
    start = dev.open_ipc_subprocess

    def start_ours(parts: Sequence[str], **options: Any) -> Any:
        return start(["assets.web" if part == "dagster_webserver" else part for part in parts], **options)

    dev.open_ipc_subprocess = start_ours
    dev.dev_command(sys.argv[2:])


if __name__ == "__main__":
    main()
