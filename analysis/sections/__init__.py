"""The sections of the page, in files of their own."""
