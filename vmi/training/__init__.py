"""A pack of K trials: built, stepped, evaluated, saved."""
