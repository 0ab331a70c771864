# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.listeners.packets`, compiled: many packets with one call of the kernel (recvmmsg and sendmmsg, Linux)."""

import socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawMalloc
from cpython.unicode cimport PyUnicode_AsUTF8
from libc.errno cimport EAGAIN, errno
from libc.string cimport memset

from proto.compiled import pure

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    """
    ctypedef unsigned int socklen_t
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int AF_INET, AF_INET6, MSG_DONTWAIT
    enum: INET6_ADDRSTRLEN
    int recvmmsg(int descriptor, mmsghdr* messages, unsigned int count, int flags, void* timeout)
    int sendmmsg(int descriptor, mmsghdr* messages, unsigned int count, int flags)
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)
    int inet_pton(int family, const char* text, void* address)
    unsigned short ntohs(unsigned short number)
    unsigned short htons(unsigned short number)
    unsigned int ntohl(unsigned int number)
    unsigned int htonl(unsigned int number)

cdef str _PURE = "resolver.listeners.packets"
cdef enum:
    # Of one call: as many as are read in a turn, and somewhat more on their way out.
    MOST = 128
    MOST_RECEIVED = 64
    RECEIVED_BYTES = 65536
    # From one packet's room to the next: not a power of two, or the beginnings of all would share one set of the cache.
    ROOM_BYTES = RECEIVED_BYTES + 576

cdef union Address:
    sockaddr_in v4
    sockaddr_in6 v6

# One packet after another is received here: 4 MiB of addresses, of which only the pages that packets need are ever memory.
cdef char* _room = <char*> PyMem_RawMalloc(MOST_RECEIVED * ROOM_BYTES)
if _room == NULL:
    raise MemoryError()


def receive_many(bound, most):
    """As `resolver.listeners.packets.receive_many`."""
    cdef mmsghdr[MOST_RECEIVED] messages
    cdef iovec[MOST_RECEIVED] pieces
    cdef Address[MOST_RECEIVED] addresses
    cdef int place, count, descriptor
    cdef list received
    if type(bound) is not socket.socket or not 0 < most <= MOST_RECEIVED:
        return pure(_PURE, "receive_many")(bound, most)
    descriptor, count = bound.fileno(), most
    for place in range(count):
        pieces[place].iov_base = _room + place * ROOM_BYTES
        pieces[place].iov_len = RECEIVED_BYTES
        memset(&messages[place], 0, sizeof(mmsghdr))
        messages[place].msg_hdr.msg_name = &addresses[place]
        messages[place].msg_hdr.msg_namelen = sizeof(Address)
        messages[place].msg_hdr.msg_iov = &pieces[place]
        messages[place].msg_hdr.msg_iovlen = 1
    count = recvmmsg(descriptor, messages, count, MSG_DONTWAIT, NULL)
    if count < 0:
        if errno == EAGAIN:
            return [], None
        # What follows an error that was told is read by the next call.
        try:
            PyErr_SetFromErrno(OSError)
        except OSError as error:
            return [], error
    received = []
    for place in range(count):
        received.append((
            PyBytes_FromStringAndSize(_room + place * ROOM_BYTES, min(messages[place].msg_len, RECEIVED_BYTES)),
            _source(&addresses[place]),
        ))
    return received, None


def send_many(bound, packets):
    """As `resolver.listeners.packets.send_many`."""
    cdef mmsghdr[MOST] messages
    cdef iovec[MOST] pieces
    cdef Address[MOST] addresses
    cdef int place, count = min(len(packets), MOST), size
    cdef bytes packet
    if type(bound) is not socket.socket or not count:
        return pure(_PURE, "send_many")(bound, packets)
    kept = [packets[place] for place in range(count)]  # so that nothing of it can go while the kernel reads
    for place in range(count):
        packet, address = kept[place]
        size = _write_address(address, &addresses[place])
        if not size or packet is None:
            return pure(_PURE, "send_many")(bound, packets)
        pieces[place].iov_base = PyBytes_AS_STRING(packet)
        pieces[place].iov_len = PyBytes_GET_SIZE(packet)
        memset(&messages[place], 0, sizeof(mmsghdr))
        messages[place].msg_hdr.msg_name = &addresses[place]
        messages[place].msg_hdr.msg_namelen = size
        messages[place].msg_hdr.msg_iov = &pieces[place]
        messages[place].msg_hdr.msg_iovlen = 1
    count = sendmmsg(bound.fileno(), messages, count, MSG_DONTWAIT)
    if count < 0:
        PyErr_SetFromErrno(OSError)
    return count


cdef tuple _source(Address* address):
    """An address as `socket.recvfrom` gives it."""
    cdef char[INET6_ADDRSTRLEN] text
    if address.v4.sin_family == AF_INET:
        inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(address.v4.sin_port)
    if address.v6.sin6_family == AF_INET6:
        inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(address.v6.sin6_port), ntohl(address.v6.sin6_flowinfo), address.v6.sin6_scope_id
    raise OSError(f"a packet from an address of family {address.v4.sin_family}")


cdef int _write_address(address, Address* into) except -1:
    """The size of an address that `_source` gave; 0 for any other, which the socket module may know better."""
    memset(into, 0, sizeof(Address))
    if type(address) is not tuple or len(address) not in (2, 4) or type(address[0]) is not str:
        return 0
    host = PyUnicode_AsUTF8(address[0])
    if len(address) == 2:
        into.v4.sin_family = AF_INET
        into.v4.sin_port = htons(<unsigned short?> address[1])
        return sizeof(sockaddr_in) if inet_pton(AF_INET, host, &into.v4.sin_addr) == 1 else 0
    into.v6.sin6_family = AF_INET6
    into.v6.sin6_port = htons(<unsigned short?> address[1])
    into.v6.sin6_flowinfo = htonl(<unsigned int?> address[2])
    into.v6.sin6_scope_id = <unsigned int?> address[3]
    return sizeof(sockaddr_in6) if inet_pton(AF_INET6, host, &into.v6.sin6_addr) == 1 else 0
