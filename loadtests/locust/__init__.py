"""Load by Locust: users that log and users that look, and objectives that fail the run. README.md says how to run it."""
