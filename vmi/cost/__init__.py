"""What training takes: sizes, measurements, predictions, packs, schedules."""
