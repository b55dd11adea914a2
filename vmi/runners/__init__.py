"""Packs handed out and brought back: in this process, or over Ray."""
