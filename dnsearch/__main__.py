"""The command, also as ``python -m dnsearch``."""

from dnsearch import interrupts


def main() -> None:
    """Listens to signals before anything else is imported, so that one at any time ends it well."""
    interrupts.listen()
    with interrupts.held():  # until the command line can tell of it
        from dnsearch.cli import main as command

        command()


if __name__ == "__main__":
    main()
