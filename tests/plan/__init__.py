"""The planner: decisions without a filesystem, a service or a clock."""
