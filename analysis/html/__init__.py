"""The page: markup, cells, tables to leaf through, downloads."""
