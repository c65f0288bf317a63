"""The work of mappers: they read blocks, train or score, and emit partials and records."""
