"""Layers, operators, networks and Adam for K members at once."""
