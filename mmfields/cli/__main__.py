"""``python -m mmfields.cli`` is the command line too."""

from mmfields.cli import main

if __name__ == "__main__":
    main(prog_name="mmfields")
