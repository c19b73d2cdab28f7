"""Shared test code: real processes and servers, faults, synthetic stores and recordings."""
