"""`python -m shotcrop_cli`, as launchers that start modules want it: `accelerate launch -m shotcrop_cli train ...`."""

from shotcrop_cli.main import main

if __name__ == "__main__":
    main()
