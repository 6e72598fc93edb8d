"""`python -m pasam`: the command `pasam`, where its script is not on the path."""

from pasam.cli.app import app

if __name__ == "__main__":
    app(prog_name="pasam")
