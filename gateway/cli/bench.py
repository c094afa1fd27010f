"""`imv bench`: runs the benchmarks of a checkout; they come with the tests, not with the package."""

import click

from gateway.cli.checkout import run_module


@click.command("bench", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure every target of the design, both sides in one run."""
    run_module("bench", arguments, needs=("asyncpg", "nats", "psutil", "pytest"))
