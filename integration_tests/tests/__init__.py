"""Tests that need root, a loopback Btrfs and real S3 services."""
