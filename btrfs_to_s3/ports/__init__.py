"""What operations need of the world; adapters in btrfs, s3 and host provide it."""

from btrfs_to_s3.ports.btrfs import Btrfs, BtrfsInspection, ReceiveSink, SendStream, Volume
from btrfs_to_s3.ports.bucket import BatchJobs, Bucket
from btrfs_to_s3.ports.cancellation import Cancellation
from btrfs_to_s3.ports.network import Way
from btrfs_to_s3.ports.reporter import Reporter
from btrfs_to_s3.ports.state import Journal, LocalState
from btrfs_to_s3.ports.store import Body, ObjectStore

__all__ = [
    "BatchJobs",
    "Body",
    "Btrfs",
    "BtrfsInspection",
    "Bucket",
    "Cancellation",
    "Journal",
    "LocalState",
    "ObjectStore",
    "ReceiveSink",
    "Reporter",
    "SendStream",
    "Volume",
    "Way",
]
