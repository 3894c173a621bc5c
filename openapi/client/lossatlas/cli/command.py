"""The `lossatlas` command: puts the commands together, and turns errors into words and codes."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.exceptions import Abort, TyperException

from lossatlas.cli import (
    aliasing,
    computing,
    continuous,
    curvature,
    doctor,
    exits,
    following,
    gallery,
    gating,
    importing,
    listing,
    pushing,
    sharing,
    trajectory,
)
from lossatlas.cli.output import say, show_error, show_json
from lossatlas.errors import LossatlasError

EPILOG = (
    "The service is found by LOSSATLAS_URL and LOSSATLAS_KEY, or by .lossatlas/endpoint.json here "
    "or above. Exit codes: 0 done, 1 a gate failed, 2 usage or credentials, 3 the job failed, 4 "
    "timed out, 5 the service cannot be reached."
)

app = typer.Typer(
    name="lossatlas",
    help="Loss landscapes as a service.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("push-model")(pushing.push_model)
app.command("push-checkpoint")(pushing.push_checkpoint)
app.command("push-dataset")(pushing.push_dataset)
app.command("surface")(computing.surface)
app.command("interpolate")(computing.interpolate)
app.command("line")(computing.line)
app.command("trajectory")(trajectory.trajectory)
app.command("curvature")(curvature.curvature)
app.command("gate")(gating.gate)
app.command("ci")(continuous.ci)
app.command("ci-key")(continuous.show_key)
app.add_typer(aliasing.app, name="alias")
app.command("share")(sharing.share)
app.command("unshare")(sharing.unshare)
app.command("wait")(following.wait)
app.command("status")(following.status)
app.command("cancel")(following.cancel)
app.command("retry")(following.retry)
app.command("fetch")(following.fetch)
app.command("list")(listing.list_things)
app.command("import-mlflow")(importing.import_mlflow)
app.command("gallery")(gallery.gallery)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Runs the command line and leaves with its exit code."""
    sys.exit(run())


def run() -> int:
    """The exit code of this process's arguments; nothing escapes as a traceback."""
    as_json = "--json" in sys.argv
    try:
        code: Any = app(standalone_mode=False)
        return code if isinstance(code, int) else exits.DONE
    except LossatlasError as error:
        show_error(error, as_json=as_json)
        return exits.code_of(error)
    except TyperException as error:
        if as_json:
            show_json({"error": {"type": "UsageError", "detail": error.format_message()}})
        error.show()  # type: ignore[attr-defined]
        return exits.USAGE
    except (Abort, KeyboardInterrupt):
        say("lossatlas: interrupted")
        return exits.INTERRUPTED
    except BrokenPipeError:
        # the reader has seen enough; nothing is left to write to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    except Exception as error:
        if os.environ.get("LOSSATLAS_DEBUG"):
            raise
        say(
            f"lossatlas: a fault of the client, {type(error).__name__}: {error} "
            "(LOSSATLAS_DEBUG=1 shows where)"
        )
        return exits.FAULT


if __name__ == "__main__":
    main()
