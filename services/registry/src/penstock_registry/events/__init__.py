"""What happened: how others follow it, and the webhooks and CI systems that are told."""
