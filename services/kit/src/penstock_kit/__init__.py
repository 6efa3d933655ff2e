"""What every Penstock server shares. A service imports this and the generated stubs, never another service."""
