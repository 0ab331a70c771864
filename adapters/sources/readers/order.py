"""Which reader reads which place."""

from adapters.sources.core.places import FilesPlace, Place, RestPlace, SqlPlace
from adapters.sources.readers.files import FilesReader
from adapters.sources.readers.reader import Reader
from adapters.sources.readers.rest import RestReader


def make_reader(place: Place) -> Reader:
    """The reader of a place. What a database needs is imported here, and only if there is one."""
    match place:
        case FilesPlace():
            return FilesReader(place)
        case RestPlace():
            return RestReader(place)
        case SqlPlace():
            from adapters.sources.readers.sql import SqlReader

            return SqlReader(place)
    raise TypeError(f"nothing reads a {type(place).__name__}")
