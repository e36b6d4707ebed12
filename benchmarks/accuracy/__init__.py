"""Which changes to training make predictions better."""
