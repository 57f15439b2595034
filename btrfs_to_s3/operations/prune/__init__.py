"""Removing what no rule keeps: backups, local snapshots, objects of no backup."""
