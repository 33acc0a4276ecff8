"""The first call with Python's grpcio, by reflection alone: no generated code.

    python3 first_call.py ADDRESS KEY
"""

import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, key = sys.argv[1], sys.argv[2]
channel = grpc.insecure_channel(address)

health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
assert health.status == health_pb2.HealthCheckResponse.SERVING, health

database = ProtoReflectionDescriptorDatabase(channel)
assert "otdel.leads.v1.LeadService" in database.get_services(), database.get_services()
pool = descriptor_pool.DescriptorPool(database)
method = pool.FindServiceByName("otdel.leads.v1.LeadService").methods_by_name["SubmitLead"]
Request = message_factory.GetMessageClass(method.input_type)
Response = message_factory.GetMessageClass(method.output_type)
submit = channel.unary_unary(
    "/otdel.leads.v1.LeadService/SubmitLead",
    request_serializer=Request.SerializeToString,
    response_deserializer=Response.FromString,
)

request = Request(
    request_id=str(uuid.uuid4()),
    channel="CHANNEL_SITE",
    source_ref=str(uuid.uuid4()),
    contact={"display_name": "Анна Ёлкина", "phone": "8 (495) 123-45-67"},
)
bearer = [("authorization", f"Bearer {key}")]
answer = submit(request, metadata=bearer, timeout=10)
assert submit(request, metadata=bearer, timeout=10) == answer, "the same request gets the same answer"
print(answer.lead.name)

try:
    submit(request, timeout=10)
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
    print(error.code().name)
else:
    sys.exit("an anonymous call was let in")
