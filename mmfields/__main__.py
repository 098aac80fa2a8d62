"""``python -m mmfields`` is the command line."""

from mmfields.cli import main

if __name__ == "__main__":
    main(prog_name="mmfields")
