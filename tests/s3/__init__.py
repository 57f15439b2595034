"""Tests of the S3 adapter: alone, against real services, and through a faulty network."""
