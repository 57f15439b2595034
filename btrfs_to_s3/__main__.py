"""``python -m btrfs_to_s3`` runs the command line."""

from btrfs_to_s3.cli.main import main

if __name__ == "__main__":
    main()
