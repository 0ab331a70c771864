"""Which transport a place has."""

from adapters.city.core.event import head_of
from adapters.city.core.places import FilesPlace, RedisPlace, WebhookPlace
from adapters.city.core.profile import Profile
from adapters.city.transports.files import FilesTransport
from adapters.city.transports.redis import RedisTransport
from adapters.city.transports.transport import Transport
from adapters.city.transports.webhook import WebhookTransport


def make_transport(profile: Profile) -> Transport:
    """The transport of a profile; nothing is opened before the first delivery."""
    head = head_of(profile.source)
    match profile.place:
        case WebhookPlace() as place:
            return WebhookTransport(head, place)
        case RedisPlace() as place:
            return RedisTransport(head, place)
        case FilesPlace() as place:
            return FilesTransport(profile.name, head, place)
    raise TypeError(f"there is no way to {profile.place}")
