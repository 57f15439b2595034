"""Speed and memory beside other tools: `python -m integration_tests.bench backup ...`."""
