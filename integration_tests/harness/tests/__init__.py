"""Tests of the harness itself: an unreliable ruler measures nothing."""
