"""Commands that compose folders which do not know each other; mounted by stillhouse.py."""
