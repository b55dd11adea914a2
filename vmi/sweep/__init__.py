"""Many trials: studies, search, packing and the runners."""
