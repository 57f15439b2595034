"""Configuration, adapters and operations joined."""
