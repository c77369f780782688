"""Engines: token ids to states. One interface, three ways to compute it; all agree within the parity bounds."""
