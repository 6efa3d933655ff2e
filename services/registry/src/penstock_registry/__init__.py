"""The registry service of Penstock."""
