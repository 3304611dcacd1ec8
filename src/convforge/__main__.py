"""`python -m convforge` is the command `convforge`, as `torchrun -m` wants it."""

from convforge.cli.main import main

if __name__ == "__main__":
    main()
