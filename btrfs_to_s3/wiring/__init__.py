"""Configuration to adapters to operations: the one place that knows them all."""
