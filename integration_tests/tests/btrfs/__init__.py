"""The btrfs adapter on real loopback filesystems."""
