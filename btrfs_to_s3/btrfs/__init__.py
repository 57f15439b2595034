"""The only code that runs btrfs, mounts a filesystem or issues a Btrfs ioctl."""
