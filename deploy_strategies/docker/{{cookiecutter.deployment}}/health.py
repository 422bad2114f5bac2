"""Asks the code server in this container whether it serves; ends with 0 if it does.

A call of ``grpc_health.v1`` takes a fifth of a second, where Dagster's own command takes seconds and its time limit passes.
"""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

#: The name that Dagster's code servers answer under.
SERVICE = "DagsterApi"


def serves(address: str, timeout: float = 2.0) -> bool:
    """Tell whether a code server answers at ``address`` within ``timeout`` seconds that it serves."""
    with grpc.insecure_channel(address) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if serves(f"127.0.0.1:{os.environ.get('CODE_SERVER_PORT', '4000')}") else 1)
