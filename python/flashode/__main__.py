"""`python -m flashode`: the same as the command `flashode`."""

from flashode.cli import main

if __name__ == "__main__":
    main()
