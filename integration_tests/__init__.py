"""The privileged harness: loopback Btrfs, real services, real faults."""
