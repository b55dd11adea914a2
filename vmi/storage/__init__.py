"""Bytes that are put durably: into a folder or into an object store."""
