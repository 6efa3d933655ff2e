"""Large blobs that come in parts: over several streams, straight to the object store, and on after a kill on either side."""
