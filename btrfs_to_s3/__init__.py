"""Incremental Btrfs backups in any S3 bucket: verified, resumable, restorable by plan."""

__version__ = "0.1.0"
