"""Server reflection (grpc.reflection.v1 and v1alpha): what is served here, described by protobuf's own descriptors.

The two versions are the same messages in packages of different names, and this distribution has the older one only; the newer
one's description is made of it, so that whatever is listed can also be described. grpcio's own implementation is not used:
it would bring grpcio's core, 19 MiB and its threads, into every worker.
"""

from collections.abc import Sequence
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from proto.convert import parse_message
from proto.wire.grpc.status import Status
from resolver.listeners.grpc.limits import MAX_SMALL_QUESTION_BYTES
from resolver.listeners.grpc.streaming import Conversation

_ALPHA: Final = reflection_pb2.DESCRIPTOR
_OLD, _NEW = _ALPHA.package, "grpc.reflection.v1"
SERVICES: Final = tuple(f"{package}.ServerReflection" for package in (_OLD, _NEW))


class Reflection:
    """Answers for `services` and whatever their descriptions need."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = sorted(services)
        self._newer = _describe_newer()

    def converse(self, conversation: Conversation) -> "_Inquiry":
        """`ServerReflectionInfo`."""
        return _Inquiry(self, conversation)

    def answer(self, raw: bytes) -> bytes:
        """One answer to one question. Raises `Refusal` if it is none."""
        request = parse_message(reflection_pb2.ServerReflectionRequest, raw, MAX_SMALL_QUESTION_BYTES)
        reply = reflection_pb2.ServerReflectionResponse(valid_host=request.host, original_request=request)
        try:
            self._fill(request, reply)
        except KeyError:
            reply.error_response.error_code = Status.NOT_FOUND
            reply.error_response.error_message = "it is not described here"
        return reply.SerializeToString()

    def _fill(self, request: reflection_pb2.ServerReflectionRequest, reply: reflection_pb2.ServerReflectionResponse) -> None:
        """Raises `KeyError` for what is not there."""
        pool = descriptor_pool.Default()
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    reply.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._describe(request.file_by_filename, reply)
            case "file_containing_symbol":
                symbol = request.file_containing_symbol
                if symbol == _NEW or symbol.startswith(f"{_NEW}."):
                    self._describe(self._newer.name, reply)
                else:
                    self._describe(pool.FindFileContainingSymbol(symbol).name, reply)
            case "file_containing_extension":
                wanted = request.file_containing_extension
                extended = pool.FindMessageTypeByName(wanted.containing_type)
                extension = pool.FindExtensionByNumber(extended, wanted.extension_number)
                self._describe(pool.FindFileContainingSymbol(extension.full_name).name, reply)
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                numbers = sorted(each.number for each in pool.FindAllExtensions(pool.FindMessageTypeByName(name)))
                reply.all_extension_numbers_response.base_type_name = name
                reply.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                reply.error_response.error_code = Status.INVALID_ARGUMENT
                reply.error_response.error_message = "nothing is asked"

    def _describe(self, name: str, reply: reflection_pb2.ServerReflectionResponse) -> None:
        """A file and all that it needs. Raises `KeyError`."""
        if name == self._newer.name:
            described = [self._newer.SerializeToString()]
        else:
            described = [_serialize(file) for file in _with_needs(descriptor_pool.Default().FindFileByName(name))]
        reply.file_descriptor_response.file_descriptor_proto.extend(described)


class _Inquiry:
    """One call of `ServerReflectionInfo`: an answer for every question."""

    def __init__(self, reflection: Reflection, conversation: Conversation) -> None:
        self._reflection = reflection
        self._conversation = conversation

    def hear(self, message: bytes) -> None:
        self._conversation.send(self._reflection.answer(message))

    def hear_end(self) -> None:
        self._conversation.end()

    def leave(self) -> None:
        """Nothing is kept of it."""


def _with_needs(file: FileDescriptor) -> list[FileDescriptor]:
    """The file first, then what it imports, each once."""
    found = {file.name: file}
    waiting = [file]
    while waiting:
        for needed in waiting.pop().dependencies:
            if needed.name not in found:
                found[needed.name] = needed
                waiting.append(needed)
    return list(found.values())


def _serialize(file: FileDescriptor) -> bytes:
    described = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(described)
    return described.SerializeToString()


def _describe_newer() -> descriptor_pb2.FileDescriptorProto:
    """The description of grpc.reflection.v1: that of v1alpha under another name."""
    described = descriptor_pb2.FileDescriptorProto()
    _ALPHA.CopyToProto(described)
    renamed = descriptor_pb2.FileDescriptorProto.FromString(described.SerializeToString())
    renamed.package = _NEW
    renamed.name = described.name.replace("v1alpha", "v1")
    for message in renamed.message_type:
        for item in message.field:
            if item.type_name:
                item.type_name = item.type_name.replace(f".{_OLD}.", f".{_NEW}.")
    for method in renamed.service[0].method:
        method.input_type = method.input_type.replace(f".{_OLD}.", f".{_NEW}.")
        method.output_type = method.output_type.replace(f".{_OLD}.", f".{_NEW}.")
    return renamed
