"""Weights of the machine-learning models: what they are, where they come from, how they predict."""
