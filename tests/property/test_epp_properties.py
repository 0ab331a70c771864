"""EPP: whatever can be said comes back as it went, and frames come out of any cuts."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.upstream.epp.core.commands import UpdateEnterprise, compose_command, parse_command
from adapters.upstream.epp.core.frames import FrameReader, compose_frame
from adapters.upstream.epp.core.objects import Contact, DayReport, Enterprise, Image, LegalPerson, PrefixFigures
from adapters.upstream.epp.core.replies import Audit, EntityData, PrefixData, Queue, Response, compose_response, parse_reply

# What XML can have, without white space at the ends: that is nobody's name.
TEXT = st.text(
    st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Zs"), exclude_characters="\ufffe\uffff"), max_size=60
).map(str.strip)
SOME = TEXT.filter(bool)
# Without white space at all, which a token loses.
NAME = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=3, max_size=64)
COUNT = st.integers(0, 2**63)
IMAGE = st.builds(Image, st.sampled_from(("jpeg", "png", "bmp")), st.binary(min_size=1, max_size=200))
PERSON = st.builds(LegalPerson, SOME, st.sampled_from("123456"), SOME, st.none() | IMAGE)
ENTERPRISE = st.builds(
    Enterprise, home=NAME, code_type=st.sampled_from("13"), code=NAME, name=SOME, type=TEXT, licence=st.none() | IMAGE,
    province=TEXT, city=TEXT, county=TEXT, address=TEXT, name_en=TEXT, address_en=TEXT, website=TEXT, description=TEXT,
    contact=st.none() | st.builds(Contact, TEXT, TEXT, TEXT), legal_person=st.none() | PERSON,
)  # fmt: skip
FIGURES = st.lists(st.builds(PrefixFigures, NAME, COUNT, COUNT, COUNT, st.none() | COUNT), max_size=5).map(tuple)
REPORT = st.builds(DayReport, NAME, st.dates().map(lambda day: day.isoformat()), FIGURES)
DATA = (
    st.none()
    | st.builds(EntityData, NAME, st.booleans())
    | st.builds(PrefixData, NAME, st.none() | st.booleans())
    | st.builds(Audit, NAME, NAME, NAME, st.just("") | NAME, st.sampled_from("123"), st.sampled_from("012"), TEXT)
)
QUEUE = st.none() | st.builds(Queue, st.integers(0, 2**32 - 1), NAME)
RESPONSE = st.builds(Response, st.integers(0, 9_999), SOME, st.just("") | NAME, NAME, DATA, QUEUE)


@given(ENTERPRISE | st.builds(UpdateEnterprise, NAME, ENTERPRISE) | REPORT, NAME)
def test_commands_come_back(command: Enterprise | UpdateEnterprise | DayReport, transaction: str) -> None:
    assert parse_command(compose_command(command, transaction)) == (command, transaction)


@given(RESPONSE)
def test_responses_come_back(response: Response) -> None:
    assert parse_reply(compose_response(response)) == response


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.lists(st.integers(1, 20), min_size=1))
def test_frames_come_out_of_any_cuts(documents: list[bytes], cuts: list[int]) -> None:
    stream, reader, found = b"".join(map(compose_frame, documents)), FrameReader(), []
    while stream:
        for cut in cuts:
            found += reader.take(stream[:cut])
            stream = stream[cut:]
    assert found == documents
    assert reader.is_between
