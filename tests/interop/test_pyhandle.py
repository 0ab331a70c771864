"""pyhandle, the customary Python client of the Handle JSON API, reads from a running node."""

import pytest
from pyhandle.handleclient import PyHandleClient  # type: ignore[import-untyped]  # pyhandle comes without types
from pyhandle.handleexceptions import GenericHandleError  # type: ignore[import-untyped]  # the same

from tests.interop.conftest import HOMED
from tests.interop.handle_replay import records
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

RECORD = "88.118.1/LOAD0000042"


@pytest.fixture
def client(node: RunningNode, monkeypatch: pytest.MonkeyPatch) -> PyHandleClient:
    monkeypatch.setenv("NO_PROXY", "*")
    url = f"http://127.0.0.1:{node.ports['resolver.http_port']}"
    return PyHandleClient("rest").instantiate_for_read_access(handle_server_url=url)


def test_a_record_as_names_and_texts(client: PyHandleClient) -> None:
    found = client.retrieve_handle_record(RECORD)
    texts = {value.type: value.data.decode() for value in records()[RECORD] if value.type != "HS_ADMIN"}
    assert {name: text for name, text in found.items() if name != "HS_ADMIN"} == texts
    assert "'handle': '88.118.1/ADMIN', 'index': 200" in found["HS_ADMIN"]


def test_a_record_as_the_document_it_is(client: PyHandleClient) -> None:
    document = client.retrieve_handle_record_json(RECORD)
    assert (document["responseCode"], document["handle"]) == (1, RECORD)
    found = {(value["index"], value["type"], value["ttl"]) for value in document["values"]}
    assert found == {(value.index, value.type, value.ttl) for value in records()[RECORD]}


def test_values_by_index_and_by_type(client: PyHandleClient) -> None:
    assert [each["index"] for each in client.retrieve_handle_record_json(RECORD, indices=[2, 100])["values"]] == [2, 100]
    assert [each["index"] for each in client.retrieve_handle_record_json(RECORD, type=["URL", "META"])["values"]] == [1, 3]
    assert [each["index"] for each in client.retrieve_handle_record_json(RECORD, auth=True, indices=["1"])["values"]] == [1]


def test_one_value(client: PyHandleClient) -> None:
    url = next(value.data.decode() for value in records()[RECORD] if value.type == "URL")
    assert client.get_value_from_handle(RECORD, "URL") == url
    assert client.get_value_from_handle(RECORD, "NONE") is None


def test_what_does_not_exist_is_none_and_what_is_another_s_is_an_error(client: PyHandleClient) -> None:
    assert client.retrieve_handle_record_json("88.118.1/NOSUCH") is None
    assert client.retrieve_handle_record("88.118.1/NOSUCH") is None
    with pytest.raises(GenericHandleError) as failed:
        client.retrieve_handle_record_json("99.99/X")
    assert '"responseCode":301' in failed.value.response.text


def test_a_record_whose_filters_match_nothing_has_no_values(client: PyHandleClient) -> None:
    assert client.retrieve_handle_record_json(RECORD, indices=[77])["responseCode"] == 200


def test_values_that_are_not_for_everybody_are_left_out(client: PyHandleClient) -> None:
    assert client.retrieve_handle_record("88.118.1/ADMIN") == {"URL": "https://example.com/"}


def test_a_name_with_slashes_and_chinese(client: PyHandleClient) -> None:
    identifier = f"{HOMED}/变压器/S20-M-630"
    assert client.retrieve_handle_record(identifier) == {"NOTE": identifier}
