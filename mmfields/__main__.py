"""``python -m mmfields`` is the command line."""

from mmfields.cli import main

main(prog_name="mmfields")
