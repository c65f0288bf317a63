"""Jobs on each runner: inputs in, one output per reducer out."""
