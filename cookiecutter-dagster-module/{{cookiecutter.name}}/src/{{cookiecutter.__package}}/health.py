"""Check that the code server on this machine is serving: ``python -m {{ cookiecutter.__package }}.health``.

A ``grpc_health.v1`` call takes a fifth of a second; Dagster's command takes seconds, longer than the check's timeout.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ADDRESS = "127.0.0.1:4000"

#: The service name of Dagster's code servers.
SERVICE = "DagsterApi"


def serves(address: str = ADDRESS, timeout: float = 2.0) -> bool:
    """Return whether a code server at ``address`` reports within ``timeout`` seconds that it is serving."""
    with grpc.insecure_channel(address) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if serves() else 1)
