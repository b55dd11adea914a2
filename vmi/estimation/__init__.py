"""MI of any fixed model, and tasks whose answers are known."""
