"""Prefixes, registrants and accounts over gRPC."""

from typing import Any

from google.protobuf.message import Message

from proto.convert import account_message, delegation_from, prefix_message, registrant_message
from proto.model.account import GroupGrant, Role
from proto.model.identifier import SuffixRule
from proto.model.prefix import Delegation, PrefixState
from proto.v1 import model_pb2, registry_pb2
from registry.doors.grpc.calls import Unary
from registry.doors.grpc.papers import papers_from, papers_message
from registry.doors.grpc.replies import account_written, new_account, prefix_written, registrant_written
from registry.doors.grpc.requests import (
    expected_version,
    grant_from,
    page_asked,
    role_from,
    state_from,
    suffix_rule_from,
)
from registry.service.context import Context
from registry.service.registry import Registry

NewPrefix = tuple[str, str, SuffixRule, PrefixState]
NewRegistrant = tuple[str, str, PrefixState]
NewLogin = tuple[str, Role, str, tuple[GroupGrant, ...]]
Move = tuple[str, PrefixState, int | None]


class Prefixes:
    """The methods of `biaojie.v1.Registry` that concern prefixes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.unary: dict[str, Unary] = {
            "CreatePrefix": Unary(registry_pb2.CreatePrefixRequest, _read_new_prefix, self._create),
            "MovePrefix": Unary(registry_pb2.MovePrefixRequest, _read_prefix_move, self._move),
            "SetSuffixRule": Unary(registry_pb2.SetSuffixRuleRequest, _read_rule, self._set_rule),
            "SetDelegation": Unary(registry_pb2.SetDelegationRequest, _read_delegation, self._set_delegation),
            "GetPrefix": Unary(registry_pb2.NameRequest, _as_it_is, self._get),
            "ListPrefixes": Unary(registry_pb2.ListRequest, _as_it_is, self._list),
        }

    async def _create(self, context: Context, asked: NewPrefix) -> Message:
        return prefix_written(await self._registry.create_prefix(context, *asked))

    async def _move(self, context: Context, asked: Move) -> Message:
        return prefix_written(await self._registry.move_prefix(context, *asked))

    async def _set_rule(self, context: Context, asked: tuple[str, SuffixRule, int | None]) -> Message:
        return prefix_written(await self._registry.set_suffix_rule(context, *asked))

    async def _set_delegation(self, context: Context, asked: tuple[str, Delegation | None, int | None]) -> Message:
        return prefix_written(await self._registry.set_delegation(context, *asked))

    async def _get(self, context: Context, asked: registry_pb2.NameRequest) -> Message:
        return prefix_message(await self._registry.show_prefix(context, asked.name))

    async def _list(self, context: Context, asked: registry_pb2.ListRequest) -> Message:
        page = await self._registry.list_prefixes(context, *page_asked(asked, context.caller))
        prefixes = [prefix_message(prefix) for prefix in page.items]
        return registry_pb2.ListPrefixesResponse(prefixes=prefixes, cursor=page.cursor)


class Registrants:
    """The methods of `biaojie.v1.Registry` that concern registrants."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.unary: dict[str, Unary] = {
            "CreateRegistrant": Unary(registry_pb2.CreateRegistrantRequest, _read_new_registrant, self._create),
            "MoveRegistrant": Unary(registry_pb2.MoveRegistrantRequest, _read_registrant_move, self._move),
            "GetRegistrant": Unary(registry_pb2.NameRequest, _as_it_is, self._get),
            "ListRegistrants": Unary(registry_pb2.ListRequest, _as_it_is, self._list),
            "ChangePapers": Unary(registry_pb2.ChangePapersRequest, _as_it_is, self._change_papers),
            "GetPapers": Unary(registry_pb2.NameRequest, _as_it_is, self._get_papers),
        }

    async def _create(self, context: Context, asked: NewRegistrant) -> Message:
        return registrant_written(await self._registry.create_registrant(context, *asked))

    async def _move(self, context: Context, asked: Move) -> Message:
        return registrant_written(await self._registry.move_registrant(context, *asked))

    async def _get(self, context: Context, asked: registry_pb2.NameRequest) -> Message:
        return registrant_message(await self._registry.show_registrant(context, asked.name))

    async def _list(self, context: Context, asked: registry_pb2.ListRequest) -> Message:
        page = await self._registry.list_registrants(context, *page_asked(asked, context.caller))
        registrants = [registrant_message(registrant) for registrant in page.items]
        return registry_pb2.ListRegistrantsResponse(registrants=registrants, cursor=page.cursor)

    async def _change_papers(self, context: Context, asked: registry_pb2.ChangePapersRequest) -> Message:
        # Read here: what a reading refuses is remembered under an idempotency key, with a digest of the request.
        return registrant_written(await self._registry.papers.change(context, *papers_from(asked)))

    async def _get_papers(self, context: Context, asked: registry_pb2.NameRequest) -> Message:
        _, papers = await self._registry.papers.show(context, asked.name)
        return papers_message(papers)


class Accounts:
    """The methods of `biaojie.v1.Registry` that concern accounts."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.unary: dict[str, Unary] = {
            "CreateAccount": Unary(registry_pb2.CreateAccountRequest, _read_new_login, self._create),
            "RotateKey": Unary(registry_pb2.AccountWrite, _as_it_is, self._rotate_key),
            "EnableAccount": Unary(registry_pb2.AccountWrite, _as_it_is, self._enable),
            "DisableAccount": Unary(registry_pb2.AccountWrite, _as_it_is, self._disable),
            "Grant": Unary(registry_pb2.GrantRequest, _as_it_is, self._grant),
            "Revoke": Unary(registry_pb2.GrantRequest, _as_it_is, self._revoke),
            "GetAccount": Unary(registry_pb2.NameRequest, _as_it_is, self._get),
            "ListAccounts": Unary(registry_pb2.ListRequest, _as_it_is, self._list),
        }

    async def _create(self, context: Context, asked: NewLogin) -> Message:
        return new_account(await self._registry.create_account(context, *asked))

    async def _rotate_key(self, context: Context, asked: registry_pb2.AccountWrite) -> Message:
        return new_account(await self._registry.rotate_key(context, asked.name, expected_version(asked)))

    async def _enable(self, context: Context, asked: registry_pb2.AccountWrite) -> Message:
        return account_written(await self._registry.enable_account(context, asked.name))

    async def _disable(self, context: Context, asked: registry_pb2.AccountWrite) -> Message:
        return account_written(await self._registry.disable_account(context, asked.name))

    async def _grant(self, context: Context, asked: registry_pb2.GrantRequest) -> Message:
        return account_written(await self._registry.grant(context, asked.name, grant_from(asked.grant)))

    async def _revoke(self, context: Context, asked: registry_pb2.GrantRequest) -> Message:
        return account_written(await self._registry.revoke(context, asked.name, grant_from(asked.grant)))

    async def _get(self, context: Context, asked: registry_pb2.NameRequest) -> Message:
        return account_message(await self._registry.show_account(context, asked.name))

    async def _list(self, context: Context, asked: registry_pb2.ListRequest) -> Message:
        page = await self._registry.list_accounts(context, *page_asked(asked, context.caller))
        accounts: list[model_pb2.Account] = [account_message(account) for account in page.items]
        return registry_pb2.ListAccountsResponse(accounts=accounts, cursor=page.cursor)


def _as_it_is(request: Any) -> Any:
    return request


def _read_new_prefix(request: registry_pb2.CreatePrefixRequest) -> NewPrefix:
    state = state_from(request.state, PrefixState.APPROVED)
    return request.name, request.registrant, suffix_rule_from(request.suffix_rule), state


def _read_prefix_move(request: registry_pb2.MovePrefixRequest) -> Move:
    return request.name, state_from(request.state), expected_version(request)


def _read_rule(request: registry_pb2.SetSuffixRuleRequest) -> tuple[str, SuffixRule, int | None]:
    return request.name, suffix_rule_from(request.suffix_rule), expected_version(request)


def _read_delegation(request: registry_pb2.SetDelegationRequest) -> tuple[str, Delegation | None, int | None]:
    delegation = delegation_from(request.delegation) if request.HasField("delegation") else None
    return request.name, delegation, expected_version(request)


def _read_new_registrant(request: registry_pb2.CreateRegistrantRequest) -> NewRegistrant:
    return request.code, request.name, state_from(request.state, PrefixState.APPROVED)


def _read_registrant_move(request: registry_pb2.MoveRegistrantRequest) -> Move:
    return request.code, state_from(request.state), expected_version(request)


def _read_new_login(request: registry_pb2.CreateAccountRequest) -> NewLogin:
    groups = tuple(grant_from(grant) for grant in request.groups)
    return request.name, role_from(request.role), request.registrant, groups
