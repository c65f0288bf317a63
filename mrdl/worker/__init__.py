"""What mappers do: read blocks, train or score, answer with partials and records."""
