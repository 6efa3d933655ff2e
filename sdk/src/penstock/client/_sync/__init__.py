# Generated from _async/__init__.py by deploy/tools/unasync.py. Change that one.
"""The synchronous client."""
