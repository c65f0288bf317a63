"""Models: layers over one flat vector, and their files."""
