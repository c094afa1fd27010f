"""`imv`: the commands, their exit codes, and how errors are shown."""

import sys

import click

from config import crash
from config.errors import ImvError
from config.settings import environment
from gateway.cli.commands import Commands

FAILED, WRONG_USE = 1, 2


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="In a checkout, `./imv test` runs the test suite.",
)
def imv() -> None:
    """The IMV edge gateway: webhooks in, one order record, decided in real time."""


def main() -> None:
    """Run a command: 0 done, 1 failed, 2 wrong use."""
    try:
        crash.arm(environment())
        imv.main(prog_name="imv", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(WRONG_USE)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(FAILED)
    except ImvError as error:
        click.echo(f"imv: {error.detail}", err=True)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
