"""Otdel from Python with generated code: grpcio-tools makes the messages and stubs from `proto/`.

    pip install grpcio grpcio-health-checking grpcio-status grpcio-tools
    python3 generated.py 127.0.0.1:7400 "$(otdel token)"

A request arrives, is answered and becomes a deal; then what happened is read from the feed.
"""

import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

# Google's own protos (google.api, google.rpc, google.type) come generated with grpcio-status.
PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def generate(folder):
    """Generates the code that is imported below. A program of yours does it once, when it is built."""
    protos = sorted(PROTO.glob("otdel/*/v1/*.proto"))
    options = [f"-I{PROTO}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *protos], check=True)
    sys.path.insert(0, folder)
    names = ("deal_pb2", "deal_pb2_grpc", "events_pb2", "events_pb2_grpc", "lead_pb2", "lead_pb2_grpc")
    return [importlib.import_module(f"otdel.leads.v1.{name}") for name in names]


with tempfile.TemporaryDirectory() as folder:
    deal_pb2, deal_pb2_grpc, events_pb2, events_pb2_grpc, lead_pb2, lead_pb2_grpc = generate(folder)

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


def connect(address):
    """A connection that is made again when it breaks."""
    # A gateway that serves TLS: grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), ...).
    options = [("grpc.service_config", json.dumps(AGAIN)), ("grpc.keepalive_time_ms", 20_000)]
    return grpc.insecure_channel(address, options=options)


def follow(events, bearer, cursor, subjects):
    """The events after a cursor as they happen, for ever: when a stream ends, the next one goes on where it ended.

    Keep each event's cursor in the same transaction as what you do about the event. Then it is done once, whatever
    breaks between two lines.
    """
    while True:
        request = events_pb2.SubscribeRequest(start_after=cursor, subjects=subjects)
        stream = events.Subscribe(request, metadata=bearer)
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


def show_refusal(error):
    """A refusal as somebody reads it who has to do something about it. Decide on the reason, never on the text."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)  # Without one no server said this: the connection broke.
    for detail in status.details if status else ():
        detail.Unpack(info) or detail.Unpack(bad)
    print(f"refused: {error.code().name} {info.reason} {dict(info.metadata) or ''}".rstrip())
    print(f"  {error.details()}")
    for violation in bad.field_violations:
        print(f"  {violation.field}: {violation.description}")


def show_event(event):
    print(f"event {event.envelope.position} {event.envelope.type}")


def new_id():
    """A request id: a new one for each intent, the same one for each attempt at it. Keep it before you send."""
    return str(uuid.uuid4())


def main(address, key):
    channel, bearer = connect(address), [("authorization", f"Bearer {key}")]
    leads, deals = lead_pb2_grpc.LeadServiceStub(channel), deal_pb2_grpc.DealServiceStub(channel)
    events = events_pb2_grpc.LeadEventServiceStub(channel)
    call = {"metadata": bearer, "timeout": 10}

    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    print(f"health: {health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)}")

    try:
        contact = lead_pb2.LeadContact(phone="12")
        leads.SubmitLead(lead_pb2.SubmitLeadRequest(request_id=new_id(), channel="CHANNEL_SITE", contact=contact), **call)
    except grpc.RpcError as error:
        show_refusal(error)

    request = lead_pb2.SubmitLeadRequest(
        request_id=new_id(),
        channel="CHANNEL_SITE",
        source_ref=f"form-{uuid.uuid4()}",
        contact=lead_pb2.LeadContact(display_name="Анна Ёлкина", email=f"{uuid.uuid4()}@example.org"),
        text="Сколько стоит ваша продукция?",
    )
    answer = leads.SubmitLead(request, **call)
    lead = answer.lead.name
    print(f"submitted: {lead}")
    if leads.SubmitLead(request, **call) == answer:
        print("sent again: the same answer")
    if not answer.lead.owner:
        sys.exit("nobody is on shift: on a fresh suite run somebody_on_shift.sh first")

    contact = lead_pb2.LogContactRequest(
        request_id=new_id(), name=lead, kind="CONTACT_KIND_CALL", outcome="CONTACT_OUTCOME_REACHED"
    )
    leads.LogContact(contact, **call)
    deal = leads.ConvertLead(lead_pb2.ConvertLeadRequest(request_id=new_id(), name=lead), **call).deal.name
    describe = deal_pb2.DescribeDealRequest(request_id=new_id(), name=deal, need="Оснастить склад до конца квартала")
    describe.amount.currency_code, describe.amount.units, describe.amount.nanos = "RUB", 110, 130_000_000
    deals.DescribeDeal(describe, **call)
    try:
        deals.AdvanceStage(deal_pb2.AdvanceStageRequest(request_id=new_id(), name=deal, stage="paid"), **call)
    except grpc.RpcError as error:
        show_refusal(error)
    advance = deal_pb2.AdvanceStageRequest(request_id=new_id(), name=deal, stage="proposal")
    answer = deals.AdvanceStage(advance, **call)
    print(f"deal: {deal} at stage {answer.deal.stage}")

    feed = follow(events, bearer, "", [lead, deal])
    for _ in range(2):
        event = next(feed)
        show_event(event)
    feed.close()
    print("broken off, going on after the last cursor")
    for event in follow(events, bearer, event.envelope.cursor, [lead, deal]):
        show_event(event)
        if answer.change.endswith(event.envelope.event_id):
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
