"""The auth service: projects, principals, tokens and grants, and the access tokens that every other service verifies."""
