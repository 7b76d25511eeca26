"""The Go test of the folder above starts the servers, generates the modules and runs these tests."""

import json
import os
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc

import keyed
from charges.v1 import charges_pb2, charges_pb2_grpc
from keyed import FINAL, NOT_EXECUTED, UNKNOWN

WITH_KIT = os.environ["CHARGES_WITH_KIT"]
WITHOUT_KIT = os.environ["CHARGES_WITHOUT_KIT"]
PATH = "/charges.v1.ChargeService/Charge"

# KeyedMethod retries, so gRPC must not. A connection of its own is not cut by another test.
OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))


def charge_of(order, cents=5, card=""):
    return charges_pb2.ChargeRequest(order=order, cents=cents, card=card)


class KeyedTest(unittest.TestCase):
    def setUp(self):
        self.order = f"python {self.id()} {uuid.uuid4()}"
        self.key = str(uuid.uuid4())

    def connect(self, address, options=OPTIONS):
        channel = grpc.insecure_channel(address, options=options)
        self.addCleanup(channel.close)
        return channel

    def stub(self, address, options=OPTIONS):
        return charges_pb2_grpc.ChargeServiceStub(self.connect(address, options))

    def keyed(self, address, **options):
        patient = {"timeout": 120, "attempt_timeout": 60, **options}
        return keyed.KeyedMethod(self.stub(address).Charge, "Charge", **patient)

    def bare(self, stub, request, raw=False):
        """Make one call with nothing but gRPC. Return its response or error, its header and its trailer."""
        try:
            method = stub if raw else stub.Charge
            response, call = method.with_call(request, metadata=[("idempotency-key", self.key)], timeout=60)
        except grpc.RpcError as error:
            return error, dict(error.initial_metadata() or ()), dict(error.trailing_metadata() or ())
        return response, dict(call.initial_metadata()), dict(call.trailing_metadata())

    def twice(self, call):
        """Make two calls at the same time."""
        with ThreadPoolExecutor(2) as pool:
            return [future.result() for future in [pool.submit(call), pool.submit(call)]]

    def receipts(self, address=WITH_KIT):
        return list(self.stub(address).ListReceipts(charges_pb2.ListReceiptsRequest(order=self.order)).receipts)

    def failure(self, call):
        with self.assertRaises(keyed.KeyedError) as context:
            call()
        return context.exception

    def test_a_call_that_is_made_again_gets_the_replay_of_the_first(self):
        stub = self.stub(WITH_KIT)
        first, _, first_trailer = self.bare(stub, charge_of(self.order))
        second, header, trailer = self.bare(stub, charge_of(self.order))

        self.assertEqual("executed", first_trailer["idempotency-status"])
        self.assertEqual("replayed", trailer["idempotency-status"])
        self.assertEqual("true", header["idempotent-replayed"])
        self.assertEqual("true", trailer["idempotent-replayed"])
        self.assertRegex(trailer["idempotency-executed-at"], r"^\d{4}-\d\d-\d\dT.*Z$")
        self.assertEqual("7200", trailer["idempotency-retention"])
        self.assertEqual(first, second)
        self.assertEqual([first.receipt], self.receipts())

    def test_a_key_that_belongs_to_another_request_has_an_error_info_and_the_verdict_unknown(self):
        charge = self.keyed(WITH_KIT)
        charge(charge_of(self.order), key=self.key)
        error = self.failure(lambda: charge(charge_of(self.order, cents=6), key=self.key))

        self.assertEqual(grpc.StatusCode.FAILED_PRECONDITION, error.code)
        self.assertEqual("IDEMPOTENCY_KEY_REUSED", error.reason)
        self.assertEqual("completed", error.info["first"])
        self.assertEqual(UNKNOWN, error.verdict)
        self.assertEqual(self.key, error.key)
        self.assertEqual(1, len(self.receipts()))

    def test_a_duplicate_of_a_running_call_has_error_info_retry_info_and_pushback_and_no_header(self):
        stub = self.stub(WITH_KIT)
        answers = self.twice(lambda: self.bare(stub, charge_of(self.order, card="slow")))
        [(error, header, trailer)] = [answer for answer in answers if isinstance(answer[0], grpc.RpcError)]

        self.assertEqual(grpc.StatusCode.UNAVAILABLE, error.code())
        self.assertEqual("rejected", trailer["idempotency-status"])
        self.assertEqual({}, header)  # the answer is trailers-only

        info, delay = keyed._details_of(trailer)
        self.assertEqual("IDEMPOTENCY_IN_PROGRESS", info.reason)
        self.assertGreater(delay, 0)
        self.assertAlmostEqual(float(trailer["grpc-retry-pushback-ms"]) / 1000, delay, delta=0.001)

    def test_native_retries_turn_a_duplicate_of_a_running_call_into_the_replay(self):
        policy = {
            "maxAttempts": 5,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        name = {"service": "charges.v1.ChargeService", "method": "Charge"}
        config = json.dumps({"methodConfig": [{"name": [name], "retryPolicy": policy}]})
        stub = self.stub(WITH_KIT, (("grpc.enable_retries", 1), ("grpc.service_config", config)))
        answers = self.twice(lambda: self.bare(stub, charge_of(self.order, card="slow")))

        self.assertEqual(["executed", "replayed"], sorted(trailer["idempotency-status"] for _, _, trailer in answers))
        self.assertEqual(answers[0][0], answers[1][0])
        self.assertEqual(1, len(self.receipts()))

    def test_a_duplicate_of_a_running_call_waits_as_long_as_the_server_asks_and_gets_the_replay(self):
        charge = self.keyed(WITH_KIT)
        answers = self.twice(lambda: charge(charge_of(self.order, card="slow"), key=self.key))

        self.assertEqual([False, True], sorted(answer.replayed for answer in answers))
        self.assertEqual([answers[0].response.receipt], self.receipts())

    def test_the_order_of_fields_and_of_map_entries_does_not_make_another_request(self):
        def field(tag, *parts):
            value = b"".join(parts)
            return bytes([tag, len(value)]) + value

        def label(name, value):
            return field(0x22, field(0x0A, name), field(0x12, value))

        fields = [field(0x0A, str(uuid.uuid4()).encode()), bytes([0x10, 5]), label(b"a", b"x"), label(b"b", b"y")]
        method = self.connect(WITH_KIT).unary_unary(PATH)
        _, _, first = self.bare(method, b"".join(fields), raw=True)
        _, _, second = self.bare(method, b"".join(reversed(fields)), raw=True)

        self.assertEqual("executed", first["idempotency-status"])
        self.assertEqual("replayed", second["idempotency-status"])

    def test_a_lost_answer_is_fetched_by_a_retry_where_the_method_is_annotated(self):
        answer = self.keyed(WITH_KIT, annotated=True)(charge_of(self.order, card="cut"))

        self.assertTrue(answer.replayed)
        self.assertEqual([answer.response.receipt], self.receipts())

    def test_a_lost_answer_is_fetched_by_a_retry_once_the_server_is_confirmed(self):
        charge = self.keyed(WITH_KIT)
        charge(charge_of(f"{self.order} before"))
        answer = charge(charge_of(self.order, card="cut"))

        self.assertEqual([answer.response.receipt], self.receipts())

    def test_a_lost_answer_is_unknown_and_not_fetched_before_the_server_is_confirmed(self):
        error = self.failure(lambda: self.keyed(WITHOUT_KIT)(charge_of(self.order, card="cut")))

        self.assertEqual(UNKNOWN, error.verdict)
        self.assertTrue(error.key)
        self.assertEqual(1, len(self.receipts(WITHOUT_KIT)))

    def test_a_server_without_the_kit_is_reported_once_and_ends_the_confirmation(self):
        charge = self.keyed(WITHOUT_KIT, annotated=True)
        with self.assertLogs(keyed.LOG) as logs:
            charge(charge_of(f"{self.order} before"))
            self.failure(lambda: charge(charge_of(f"{self.order} before", card="declined")))
            error = self.failure(lambda: charge(charge_of(self.order, card="cut")))

        self.assertEqual(1, len(logs.output))
        self.assertEqual(UNKNOWN, error.verdict)
        self.assertEqual(1, len(self.receipts(WITHOUT_KIT)))

    def test_an_error_has_its_verdict(self):
        charge = self.keyed(WITH_KIT)
        for card, code, verdict in (
            ("declined", grpc.StatusCode.FAILED_PRECONDITION, FINAL),
            ("broken", grpc.StatusCode.INTERNAL, UNKNOWN),
            ("busy", grpc.StatusCode.RESOURCE_EXHAUSTED, NOT_EXECUTED),
        ):
            error = self.failure(lambda: charge(charge_of(self.order, card=card)))
            self.assertEqual((code, verdict), (error.code, error.verdict), card)

    def test_an_outcome_that_is_unknown_stays_unknown_to_a_call_that_is_made_again(self):
        charge = self.keyed(WITH_KIT)
        self.failure(lambda: charge(charge_of(self.order, card="broken"), key=self.key))
        error = self.failure(lambda: charge(charge_of(self.order, card="broken"), key=self.key))

        self.assertEqual(("IDEMPOTENCY_OUTCOME_UNKNOWN", UNKNOWN), (error.reason, error.verdict))
        self.assertEqual(1, len(self.receipts()))

    def test_retries_end_before_the_servers_retention_does(self):
        # Without the rule, this call goes on for a day.
        charge = self.keyed(WITHOUT_KIT, max_delay=0.1)
        error = self.failure(lambda: charge(charge_of(self.order, card="brief"), timeout=24 * 60 * 60))

        self.assertEqual((grpc.StatusCode.UNAVAILABLE, NOT_EXECUTED), (error.code, error.verdict))


if __name__ == "__main__":
    unittest.main()
