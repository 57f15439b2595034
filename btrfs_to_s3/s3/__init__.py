"""The only code that speaks to boto3: ``S3Store`` provides ``ports.ObjectStore``."""

from btrfs_to_s3.s3.client import S3Settings
from btrfs_to_s3.s3.session import Limits, World
from btrfs_to_s3.s3.store import S3Store

__all__ = ["Limits", "S3Settings", "S3Store", "World"]
