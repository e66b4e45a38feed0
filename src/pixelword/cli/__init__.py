"""The front door: each command parses, calls the library, and says where the result is."""
