"""``python -m mmfields.cli`` is the command line too."""

from mmfields.cli import main

main(prog_name="mmfields")
