"""`python -m polybench`."""

from polybench.cli import main

if __name__ == "__main__":
    main()
