"""Real S3 services on loopback, each started by a context manager and gone when it ends.

with moto_server() as service:
    bucket = service.create_bucket()
    subprocess.run(command, env=os.environ | service.environment())
"""

from integration_tests.harness.services.moto import Moto, moto_server
from integration_tests.harness.services.process import ServerProcess, ServiceStartError
from integration_tests.harness.services.rclone import rclone_server
from integration_tests.harness.services.service import Placement, Service
from integration_tests.harness.services.swift import swift_server

__all__ = [
    "Moto",
    "Placement",
    "ServerProcess",
    "Service",
    "ServiceStartError",
    "moto_server",
    "rclone_server",
    "swift_server",
]
