"""Models: layers whose weights are in one flat vector; and the models' files."""
