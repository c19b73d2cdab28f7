"""What tests share: real processes and servers, faults, made stores and recordings."""
