"""The remote format, version 1 (docs/format.md): pure encoders beside their decoders."""
