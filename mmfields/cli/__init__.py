"""Command line: open, one verb, store."""

import click

from mmfields import __version__
from mmfields.cli import fields, orbits, pages

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """From a PIC or MHD snapshot to a cosmic-ray diffusion coefficient.

    FILE is a snapshot of any code that is read, or the name of a sample (micromirrors, mhd_turbulence).

    \b
    Example:
      mmfields trace micromirrors orbits.zarr --energy '1 MeV' --distance 20000
      mmfields diffusion orbits.zarr

    Completion of verbs and options in the shell: put this line into ~/.bashrc
    (with zsh_source into ~/.zshrc, with fish_source into a file of fish's completions):

    \b
      eval "$(_MMFIELDS_COMPLETE=bash_source mmfields)"
    """


for command in (
    fields.info,
    fields.convert,
    fields.filter_,
    fields.spectra_,
    fields.scales_,
    fields.faraday_,
    orbits.trace_,
    orbits.diffusion_,
    pages.plot_,
    pages.report_,
    pages.paper_,
    pages.compile_,
):
    main.add_command(command)
