"""The tracking service: experiments, runs, params, tags and metrics."""
