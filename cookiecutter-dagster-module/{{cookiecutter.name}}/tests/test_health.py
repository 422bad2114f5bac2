from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from {{ cookiecutter.__package }}.health import SERVICE, serves


def test_a_code_server_is_well_only_once_it_serves():
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        state = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(state, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            assert not serves(address)
            state.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
            assert serves(address)
        finally:
            server.stop(None).wait()

    assert not serves(address, timeout=0.5)
