"""Images of the user's own: read from files, tables, folders or arrays, named by their content, kept beside results."""
