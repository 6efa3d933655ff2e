"""The stages that every call passes, one file each. `penstock_kit.server` puts them in order."""
