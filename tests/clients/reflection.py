"""Otdel from Python without generated code: the server says by reflection what its RPCs are.

    pip install grpcio grpcio-reflection
    python3 reflection.py 127.0.0.1:7400 "$(otdel token)"

A request arrives, is answered and becomes a deal; then what happened is read from the feed.
"""

import json
import sys
import time
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# Every RPC reads or carries a request id, so every one may be sent again when the server cannot be reached, sheds load
# or went away with the answer.
AGAIN = {
    "methodConfig": [
        {
            "name": [{}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


class Otdel:
    """The RPCs of a suite."""

    def __init__(self, address, key):
        # A gateway that serves TLS: grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), ...).
        self.channel = grpc.insecure_channel(
            address, options=[("grpc.service_config", json.dumps(AGAIN)), ("grpc.keepalive_time_ms", 20_000)]
        )
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.bearer = [("authorization", f"Bearer {key}")]

    def service(self, name):
        """A service such as `otdel.leads.v1.LeadService`, for which the server is asked once."""
        while True:
            try:
                return self.pool.FindServiceByName(name)
            except grpc.RpcError as error:  # A stream that has begun is not sent again by itself.
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.1)

    def message(self, name):
        """The class of a message, such as `google.rpc.Status`."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def call(self, rpc, **fields):
        """Calls an RPC such as `otdel.leads.v1.LeadService/SubmitLead`. One with an answer returns it; one with a stream
        returns the stream."""
        service, name = rpc.split("/")
        method = self.service(service).methods_by_name[name]
        request, answer = (message_factory.GetMessageClass(side) for side in (method.input_type, method.output_type))
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        send = make(f"/{rpc}", request.SerializeToString, answer.FromString)
        return send(request(**fields), metadata=self.bearer, timeout=None if method.server_streaming else 10)

    def details(self, error):
        """What a refusal carries beside its code: the `google.rpc` details by their names."""
        encoded = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        details = {}
        for packed in self.message("google.rpc.Status").FromString(encoded).details:
            name = packed.TypeName()
            details[name.removeprefix("google.rpc.")] = self.message(name).FromString(packed.value)
        return details

    def follow(self, cursor, **filters):
        """The events after a cursor as they happen, for ever: when a stream ends, the next one goes on where it ended.

        Keep each event's cursor in the same transaction as what you do about the event. Then it is done once, whatever
        breaks between two lines.
        """
        while True:
            stream = self.call("otdel.leads.v1.LeadEventService/Subscribe", start_after=cursor, **filters)
            try:
                for answer in stream:
                    if answer.HasField("event"):
                        yield answer.event
                        cursor = answer.event.envelope.cursor
                    else:  # A checkpoint, or word that everything is read: the place moved without an event.
                        cursor = getattr(answer, answer.WhichOneof("item")).cursor
            except grpc.RpcError as error:
                # Once a minute by design (REAUTHORIZE), or because the server or the connection went away.
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise  # DATA_LOSS: the server was restored to an earlier state. Begin again with an empty cursor.
                time.sleep(0.1)
            finally:
                stream.cancel()


def show_refusal(otdel, error):
    """A refusal as somebody reads it who has to do something about it. Decide on the reason, never on the text."""
    details = otdel.details(error)
    if "ErrorInfo" in details:  # Without it no server said this: the connection broke.
        info = details["ErrorInfo"]
        print(f"refused: {error.code().name} {info.reason} {dict(info.metadata) or ''}".rstrip())
    print(f"  {error.details()}")
    for violation in details["BadRequest"].field_violations if "BadRequest" in details else ():
        print(f"  {violation.field}: {violation.description}")


def show_event(event):
    print(f"event {event.envelope.position} {event.envelope.type}")


def new_id():
    """A request id: a new one for each intent, the same one for each attempt at it. Keep it before you send."""
    return str(uuid.uuid4())


def main(address, key):
    otdel = Otdel(address, key)
    leads, deals = "otdel.leads.v1.LeadService", "otdel.leads.v1.DealService"

    try:
        otdel.call(f"{leads}/SubmitLead", request_id=new_id(), channel="CHANNEL_SITE", contact={"phone": "12"})
    except grpc.RpcError as error:
        show_refusal(otdel, error)

    request = dict(
        request_id=new_id(),
        channel="CHANNEL_SITE",
        source_ref=f"form-{uuid.uuid4()}",
        contact={"display_name": "Анна Ёлкина", "email": f"{uuid.uuid4()}@example.org"},
        text="Сколько стоит ваша продукция?",
    )
    answer = otdel.call(f"{leads}/SubmitLead", **request)
    lead = answer.lead.name
    print(f"submitted: {lead}")
    if otdel.call(f"{leads}/SubmitLead", **request) == answer:
        print("sent again: the same answer")
    if not answer.lead.owner:
        sys.exit("nobody is on shift: on a fresh suite run somebody_on_shift.sh first")

    otdel.call(
        f"{leads}/LogContact",
        request_id=new_id(),
        name=lead,
        kind="CONTACT_KIND_CALL",
        outcome="CONTACT_OUTCOME_REACHED",
    )
    deal = otdel.call(f"{leads}/ConvertLead", request_id=new_id(), name=lead).deal.name
    otdel.call(
        f"{deals}/DescribeDeal",
        request_id=new_id(),
        name=deal,
        need="Оснастить склад до конца квартала",
        amount={"currency_code": "RUB", "units": 110, "nanos": 130_000_000},
    )
    try:
        otdel.call(f"{deals}/AdvanceStage", request_id=new_id(), name=deal, stage="paid")
    except grpc.RpcError as error:
        show_refusal(otdel, error)
    answer = otdel.call(f"{deals}/AdvanceStage", request_id=new_id(), name=deal, stage="proposal")
    print(f"deal: {deal} at stage {answer.deal.stage}")

    feed = otdel.follow("", subjects=[lead, deal])
    for _ in range(2):
        event = next(feed)
        show_event(event)
    feed.close()
    print("broken off, going on after the last cursor")
    for event in otdel.follow(event.envelope.cursor, subjects=[lead, deal]):
        show_event(event)
        if answer.change.endswith(event.envelope.event_id):
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
