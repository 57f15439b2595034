"""Make the environments of the named tools ahead of time: `swift`, `rclone`, `mitmproxy`."""

import sys

from integration_tests.harness.services.venvs import environment_for

for name in sys.argv[1:]:
    print(environment_for(name))
