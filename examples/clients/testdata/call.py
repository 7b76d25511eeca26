"""Calls Charge under a key and prints how it ended: call.py ADDRESS."""

import sys

import grpc

from charges.v1 import charges_pb2, charges_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    charge = charges_pb2_grpc.ChargeServiceStub(channel).Charge
    key = [("idempotency-key", "from-python")]
    _, call = charge.with_call(charges_pb2.ChargeRequest(order="from-python"), metadata=key)
    print("idempotency-status:", dict(call.trailing_metadata())["idempotency-status"])
