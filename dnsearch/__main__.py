"""``python -m dnsearch``."""

from dnsearch.cli import main

if __name__ == "__main__":
    main()
