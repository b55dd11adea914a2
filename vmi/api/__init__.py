"""What `import vmi` hands out beside the study's own words: running one, and reading its results."""
