"""The public face of songmill."""
