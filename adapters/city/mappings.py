"""Mappings of systems with code of their own, by the name that a profile calls them by (`shape.mapping`)."""

from collections.abc import Mapping
from typing import Final

from adapters.city.core.shape import MapNoun
from adapters.city.data_exchange.mapping import map_noun as map_for_exchange
from adapters.city.enterprise.mapping import map_noun as map_for_enterprises
from adapters.city.industry.mapping import map_noun as map_for_industry

MAPPINGS: Final[Mapping[str, MapNoun]] = {
    "data-exchange": map_for_exchange,
    "enterprise": map_for_enterprises,
    "industry": map_for_industry,
}
