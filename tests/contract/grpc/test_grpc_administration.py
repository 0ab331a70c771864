"""Prefixes, registrants and accounts over gRPC."""

from typing import TYPE_CHECKING

import grpc

from proto.v1 import model_pb2, registry_pb2
from proto.v1.registry_pb2 import (
    AccountWrite,
    ChangePapersRequest,
    CreateAccountRequest,
    CreatePrefixRequest,
    CreateRegistrantRequest,
    Draft,
    GetIdentifierRequest,
    GrantRequest,
    ListRequest,
    MovePrefixRequest,
    MoveRegistrantRequest,
    NameRequest,
    RegisterRequest,
    SetDelegationRequest,
    SetSuffixRuleRequest,
)
from proto.wire.handle.typed import compose_site
from resolver.upstream.sites import Endpoint
from tests.support.control_plane import ACME, ACME_CODE
from tests.support.foreign_node import site
from tests.support.grpc_calls import (
    bearer,
    failure_of,
)
from tests.support.grpc_door import Served, register, url
from tests.support.papers import EMAIL, ID_NUMBER, ID_PICTURE, LICENCE, NAME, PERSON, PHONE, found_below

if TYPE_CHECKING:
    pass

Status = grpc.StatusCode


async def test_a_prefix_is_handed_to_another_node_and_taken_back(node: Served) -> None:
    chief = bearer(node.operator)
    there = model_pb2.Delegation(sites=[compose_site(site(Endpoint("10.0.0.7", 2641)))], url="https://node.example")
    handed = await node.stub.SetDelegation(SetDelegationRequest(name=ACME, delegation=there), metadata=chief)
    assert handed.prefix.delegation == there
    assert (await node.stub.GetPrefix(NameRequest(name=ACME), metadata=chief)).delegation == there
    draft = Draft(identifier=f"{ACME}/a", values=[url("x")])
    code, failure = await failure_of(node.stub.Register(RegisterRequest(draft=draft), metadata=bearer(node.acme)))
    assert (code, failure.reason) == (Status.FAILED_PRECONDITION, "INVALID_STATE")
    code, failure = await failure_of(node.stub.SetDelegation(SetDelegationRequest(name=ACME), metadata=bearer(node.acme)))
    assert code is Status.PERMISSION_DENIED
    nobody = SetDelegationRequest(name=ACME, delegation=model_pb2.Delegation(sites=[b"x"]))
    code, failure = await failure_of(node.stub.SetDelegation(nobody, metadata=chief))
    assert (code, failure.reason, failure.field) == (Status.INVALID_ARGUMENT, "INVALID_ARGUMENT", "sites[0]")
    taken = await node.stub.SetDelegation(SetDelegationRequest(name=ACME), metadata=chief)
    assert not taken.prefix.HasField("delegation")


async def test_prefixes_are_created_moved_and_listed(node: Served) -> None:
    chief = bearer(node.operator)
    made = await node.stub.CreatePrefix(CreatePrefixRequest(name="88.118.1002", registrant=ACME_CODE), metadata=chief)
    assert made.written.outcome == registry_pb2.OUTCOME_CREATED
    assert (made.prefix.name, made.prefix.registrant, made.prefix.state, made.prefix.suffix_rule) == (
        "88.118.1002", ACME_CODE, model_pb2.PREFIX_STATE_APPROVED, model_pb2.SUFFIX_RULE_FOLD_ASCII,
    )  # fmt: skip
    exact = SetSuffixRuleRequest(name="88.118.1002", suffix_rule=model_pb2.SUFFIX_RULE_EXACT)
    assert (await node.stub.SetSuffixRule(exact, metadata=chief)).prefix.suffix_rule == model_pb2.SUFFIX_RULE_EXACT
    hold = MovePrefixRequest(name="88.118.1002", state=model_pb2.PREFIX_STATE_SUSPENDED, expected_version=2)
    assert (await node.stub.MovePrefix(hold, metadata=chief)).prefix.state == model_pb2.PREFIX_STATE_SUSPENDED
    code, failure = await failure_of(node.stub.MovePrefix(hold, metadata=chief))
    assert (code, failure.reason) in ((Status.ABORTED, "VERSION_CONFLICT"), (Status.FAILED_PRECONDITION, "INVALID_STATE"))
    code, failure = await failure_of(
        node.stub.Register(
            RegisterRequest(draft=Draft(identifier="88.118.1002/a", values=[url("x")])), metadata=bearer(node.acme)
        )
    )
    assert (code, failure.reason) == (Status.FAILED_PRECONDITION, "PREFIX_SUSPENDED")

    mine = await node.stub.ListPrefixes(ListRequest(), metadata=bearer(node.acme))
    assert [prefix.name for prefix in mine.prefixes] == [ACME, "88.118.1002"]
    first = await node.stub.ListPrefixes(ListRequest(limit=1), metadata=chief)
    assert [prefix.name for prefix in first.prefixes] == ["88.118"]
    rest = await node.stub.ListPrefixes(ListRequest(after=first.cursor), metadata=chief)
    assert [prefix.name for prefix in rest.prefixes] == [ACME, "88.118.1002"]
    assert rest.cursor == ""
    shown = await node.stub.GetPrefix(NameRequest(name=ACME), metadata=bearer(node.acme))
    assert shown.registrant == ACME_CODE
    code, _ = await failure_of(node.stub.CreatePrefix(CreatePrefixRequest(name="88.118.7"), metadata=bearer(node.acme)))
    assert code is Status.PERMISSION_DENIED


async def test_registrants_are_created_moved_and_listed(node: Served) -> None:
    chief = bearer(node.operator)
    made = await node.stub.CreateRegistrant(CreateRegistrantRequest(code="XC-2", name="许昌电缆"), metadata=chief)
    assert (made.registrant.code, made.registrant.name, made.registrant.version) == ("XC-2", "许昌电缆", 1)
    hold = MoveRegistrantRequest(code="XC-2", state=model_pb2.PREFIX_STATE_SUSPENDED)
    assert (await node.stub.MoveRegistrant(hold, metadata=chief)).registrant.state == model_pb2.PREFIX_STATE_SUSPENDED
    assert (await node.stub.GetRegistrant(NameRequest(name="XC-2"), metadata=chief)).version == 2
    listed = await node.stub.ListRegistrants(ListRequest(), metadata=chief)
    assert [registrant.code for registrant in listed.registrants] == sorted([ACME_CODE, "XC-2"])
    code, failure = await failure_of(node.stub.MoveRegistrant(MoveRegistrantRequest(code="XC-2"), metadata=chief))
    assert (code, failure.field) == (Status.INVALID_ARGUMENT, "state")


async def test_papers_are_given_read_and_erased_and_lie_sealed(node: Served) -> None:
    chief = bearer(node.operator)
    person = registry_pb2.LegalPerson(name=PERSON, id_type="1", id_number=ID_NUMBER, picture=ID_PICTURE)
    contact = registry_pb2.Contact(name=NAME, email=EMAIL, phone=PHONE)
    papers = registry_pb2.Papers(contact=contact, legal_person=person, licence=LICENCE)
    keyed = (*chief, ("idempotency-key", "papers-1"))
    made = await node.stub.ChangePapers(ChangePapersRequest(code=ACME_CODE, papers=papers), metadata=keyed)
    assert (made.written.outcome, made.registrant.version) == (registry_pb2.OUTCOME_REPLACED, 2)
    assert await node.stub.GetPapers(NameRequest(name=ACME_CODE), metadata=bearer(node.acme)) == papers
    assert not found_below(node.data)
    code, _ = await failure_of(node.stub.GetPapers(NameRequest(name=ACME_CODE), metadata=bearer(node.city)))
    assert code is Status.PERMISSION_DENIED
    both = ChangePapersRequest(code=ACME_CODE, papers=papers, erase=["licence"])
    code, failure = await failure_of(node.stub.ChangePapers(both, metadata=chief))
    assert (code, failure.field) == (Status.INVALID_ARGUMENT, "erase")
    gone = ChangePapersRequest(code=ACME_CODE, erase=["contact", "legal_person", "licence"], expected_version=2)
    assert (await node.stub.ChangePapers(gone, metadata=chief)).registrant.version == 3
    assert await node.stub.GetPapers(NameRequest(name=ACME_CODE), metadata=chief) == registry_pb2.Papers()
    assert list((node.data / "papers").iterdir()) == []


async def test_accounts_are_made_opened_and_closed(node: Served) -> None:
    chief = bearer(node.operator)
    request = CreateAccountRequest(name="buyer", role=model_pb2.ROLE_CITY, idempotency_key="new-1")
    made = await node.stub.CreateAccount(request, metadata=chief)
    assert (made.account.name, made.account.role, made.account.enabled) == ("buyer", model_pb2.ROLE_CITY, True)
    assert made.token.startswith("bj_buyer_")
    again = await node.stub.CreateAccount(request, metadata=chief)
    assert (again.token, again.written.replayed) == ("", True)

    grant = GrantRequest(name="buyer", grant=model_pb2.GroupGrant(registrant=ACME_CODE, group="partners"))
    await register(node, "a", url("https://a.example", audience="partners"))
    asked = GetIdentifierRequest(identifier=f"{ACME}/a")
    assert not (await node.stub.GetIdentifier(asked, metadata=bearer(made.token))).values
    granted = await node.stub.Grant(grant, metadata=bearer(node.acme))
    assert [(each.registrant, each.group) for each in granted.account.groups] == [(ACME_CODE, "partners")]
    assert (await node.stub.GetIdentifier(asked, metadata=bearer(made.token))).values[0].data == b"https://a.example"
    assert not (await node.stub.Revoke(grant, metadata=bearer(node.acme))).account.groups

    fresh = await node.stub.RotateKey(AccountWrite(name="buyer"), metadata=chief)
    code, _ = await failure_of(node.stub.GetIdentifier(asked, metadata=bearer(made.token)))
    assert code is Status.UNAUTHENTICATED
    await node.stub.GetIdentifier(asked, metadata=bearer(fresh.token))
    assert not (await node.stub.DisableAccount(AccountWrite(name="buyer"), metadata=chief)).account.enabled
    code, _ = await failure_of(node.stub.GetIdentifier(asked, metadata=bearer(fresh.token)))
    assert code is Status.UNAUTHENTICATED
    assert (await node.stub.EnableAccount(AccountWrite(name="buyer"), metadata=chief)).account.enabled
    assert (await node.stub.GetAccount(NameRequest(name="buyer"), metadata=chief)).enabled
    listed = await node.stub.ListAccounts(ListRequest(), metadata=chief)
    assert [account.name for account in listed.accounts] == ["acme", "buyer", "city", "operator"]
