"""Accounts of administrators, their sessions and one-time links, over gRPC and with a clock of the test's own."""

import asyncio
import dataclasses
import json
import time
import uuid
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from rollcall.directory.v1 import administrator_service_pb2 as pb
from rollcall.directory.v1 import administrator_service_pb2_grpc as pb_grpc

from chassis.errors import RpcFailure, from_rpc_error
from directory_service import administrators, sessions
from directory_service.administrators import Accounts
from directory_service.errors import InvalidSession, InvalidSignIn, InvalidValue, LinkNotFound, TooManyAttempts
from directory_service.passwords import AT_ONCE, WAITING, Passwords
from directory_service.repository.administrators import Attempts
from directory_service.repository.times import now_ms
from directory_service.sessions import ACCOUNT, ADDRESS, HOUR_MS, Throttle
from directory_service.tables import (
    ADMINISTRATOR_SESSIONS,
    ADMINISTRATORS,
    AUDIT_LOG,
    SIGN_IN_ATTEMPTS,
    SIGN_IN_LINKS,
)
from tests.directory_service.world import World

PASSWORD = "correct horse battery"
SIGNING_IN = ("SignIn", "SignInWithOpenId", "GetSignInLink", "RedeemSignInLink", "GetSession", "SignOut")


@pytest.fixture(autouse=True)
def little_work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash with little work where what a hash costs is not the question."""
    if not any(part in request.node.name for part in ("worked_on", "less_work")):
        hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        monkeypatch.setattr("directory_service.passwords._HASHER", hasher)


def address() -> str:
    """An e-mail address that no other test has."""
    return f"{uuid.uuid4().hex[:12]}@example.com"


async def call(world: World, method: str, request: Any, *, identity: str = "console", acting: str = "") -> Any:
    """Call AdministratorService; a failure is an RpcFailure."""
    stub = pb_grpc.AdministratorServiceStub(world.channels[identity])
    metadata = (("rollcall-administrator", acting),) if acting else ()
    try:
        return await getattr(stub, method)(request, timeout=30, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


async def refused(world: World, method: str, request: Any, **options: Any) -> RpcFailure:
    """Call what must be refused."""
    with pytest.raises(RpcFailure) as caught:
        await call(world, method, request, **options)
    return caught.value


async def create(world: World, email: str, password: str = PASSWORD) -> pb.Administrator:
    """Make an account as the command line does."""
    request = pb.CreateAdministratorRequest(email=email, name="Ada", password=password)
    return (await call(world, "CreateAdministrator", request, identity="admin")).administrator


async def sign_in(world: World, email: str, password: str = PASSWORD) -> str:
    """Open a session and return its token."""
    answer = await call(world, "SignIn", pb.SignInRequest(email=email, password=password))
    return str(answer.session.session_token)


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.ms = now_ms()

    def __call__(self) -> int:
        return self.ms

    def pass_by(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


def with_clock(world: World) -> tuple[Accounts, Clock]:
    """The accounts of a directory under a clock of the test's own."""
    clock = Clock()
    return dataclasses.replace(world.server.accounts, now=clock), clock


async def test_an_account_signs_in_and_its_session_says_whose_it_is(world: World) -> None:
    """Proto: "Opens a session for an e-mail address and its password"; the address compares without case."""
    email = address()
    made = await create(world, email)
    answer = await call(world, "SignIn", pb.SignInRequest(email=email.upper(), password=PASSWORD))
    assert answer.administrator.administrator_id == made.administrator_id
    assert answer.administrator.HasField("last_sign_in_time")
    token = answer.session.session_token
    assert (await call(world, "GetSession", pb.GetSessionRequest(session_token=token))).administrator.email == email
    await call(world, "SignOut", pb.SignOutRequest(session_token=token))
    failure = await refused(world, "GetSession", pb.GetSessionRequest(session_token=token))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_SESSION")
    await call(world, "SignOut", pb.SignOutRequest(session_token=token))


async def test_nothing_that_signs_in_is_stored(world: World) -> None:
    """SECURITY: "Only SHA-256 is stored"; passwords as argon2id."""
    email = address()
    made = await create(world, email)
    token = await sign_in(world, email)
    link = await call(
        world, "CreateSignInLink", pb.CreateSignInLinkRequest(administrator_id=made.administrator_id), identity="admin"
    )
    rows = [
        *await world.rows(sa.select(ADMINISTRATORS).where(ADMINISTRATORS.c.email == email)),
        *await world.rows(sa.select(ADMINISTRATOR_SESSIONS)),
        *await world.rows(sa.select(SIGN_IN_LINKS)),
        *await world.rows(sa.select(SIGN_IN_ATTEMPTS)),
        *await world.rows(sa.select(AUDIT_LOG)),
    ]
    assert rows[0].password_hash.startswith("$argon2id$")
    stored = repr(rows)
    for secret in (PASSWORD, token, link.link_token):
        assert secret not in stored


@pytest.mark.parametrize("case", ["unknown", "wrong", "disabled", "without", "none", "long"])
async def test_every_fault_of_a_sign_in_has_one_answer(world: World, case: str) -> None:
    """The rule: "same answer for unknown e-mail, wrong password and disabled account"."""
    email, password = address(), PASSWORD
    if case == "without":
        await create(world, email, password="")
    elif case != "unknown":
        made = await create(world, email)
    if case == "wrong":
        password = PASSWORD + "x"
    elif case == "none":
        password = ""
    elif case == "long":
        password = PASSWORD * 200
    elif case == "disabled":
        await create(world, address())
        request = pb.DisableAdministratorRequest(administrator_id=made.administrator_id)
        await call(world, "DisableAdministrator", request, identity="admin")
    failure = await refused(world, "SignIn", pb.SignInRequest(email=email, password=password))
    assert (failure.code, failure.reason, failure.message, failure.field) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "INVALID_SIGN_IN",
        "no enabled administrator signs in with these",
        None,
    )


async def test_a_password_is_worked_on_as_long_when_there_is_none_to_compare_with() -> None:
    """The rule: "same time"; told by processor time, the least of some tries, so that a busy machine tells the same."""
    passwords = Passwords()
    stored = await passwords.hash(PASSWORD)

    async def least(hash_: str | None) -> float:
        taken = []
        for _ in range(4):
            began = time.process_time()
            assert not await passwords.verify(hash_, "something else")
            taken.append(time.process_time() - began)
        return min(taken)

    with_hash, without = await least(stored), await least(None)
    passwords.close()
    assert without == pytest.approx(with_hash, rel=0.5)


async def test_passwords_are_worked_on_two_at_a_time_and_few_may_wait() -> None:
    """The rule: "argon2id verification in a worker thread, at most 2 at once so that SCIM is never slowed"."""
    passwords = Passwords()
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    at_once = most = 0

    def work() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30)
        at_once -= 1

    tasks = [asyncio.create_task(passwords._apart(work)) for _ in range(AT_ONCE + WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyAttempts):
        await passwords.verify(None, PASSWORD)
    release.set()
    await asyncio.gather(*tasks)
    assert most == AT_ONCE
    passwords.close()


async def test_a_password_reads_the_same_whichever_way_it_is_typed() -> None:
    """NIST SP 800-63B §5.1.1.2: normalised before it is hashed, so that other keyboards give the same."""
    passwords = Passwords()
    assert await passwords.verify(await passwords.hash("pa\u0308ssword twelve"), "p\u00e4ssword twelve")
    passwords.close()


async def test_attempts_on_an_account_have_pauses_that_grow(world: World) -> None:
    """The rule: "rate-limited per account … with increasing delay, told as RESOURCE_EXHAUSTED with RetryInfo"."""
    accounts, clock = with_clock(world)
    email = address()
    await administrators.create_administrator(accounts, email, "", PASSWORD)
    for _ in range(ACCOUNT.free):
        with pytest.raises(InvalidSignIn):
            await sessions.sign_in(accounts, email, "wrong", "")
    for seconds in (1, 2, 4):
        with pytest.raises(TooManyAttempts) as caught:
            await sessions.sign_in(accounts, email, PASSWORD, "")
        assert caught.value.retry_seconds == seconds
        clock.pass_by(seconds)
        with pytest.raises(InvalidSignIn):
            await sessions.sign_in(accounts, email, "wrong", "")
    clock.pass_by(8)
    await sessions.sign_in(accounts, email, PASSWORD, "")
    # Who has signed in begins anew.
    with pytest.raises(InvalidSignIn):
        await sessions.sign_in(accounts, email, "wrong", "")


async def test_attempts_from_one_address_are_counted_over_all_accounts(world: World) -> None:
    """The rule: "rate-limited per account and per client address"; a sign-in of one's own forgives no other."""
    accounts, clock = with_clock(world)
    email = address()
    await administrators.create_administrator(accounts, email, "", PASSWORD)
    client = f"2001:db8:{uuid.uuid4().hex[:4]}:1::"
    for number in range(ADDRESS.free):
        # A host has every address of its network.
        with pytest.raises(InvalidSignIn):
            await sessions.sign_in(accounts, address(), "wrong", f"{client}{number:x}")
    with pytest.raises(TooManyAttempts):
        await sessions.sign_in(accounts, email, PASSWORD, f"{client}ffff")
    clock.pass_by(1)
    await sessions.sign_in(accounts, email, PASSWORD, client)
    clock.pass_by(0.5)
    with pytest.raises(TooManyAttempts):
        await sessions.sign_in(accounts, address(), "wrong", client)
    with pytest.raises(InvalidSignIn):
        await sessions.sign_in(accounts, address(), "wrong", "2001:db9::1")


async def test_many_attempts_at_once_are_no_way_around_the_limit(world: World) -> None:
    """The rule: an attempt counts before its password is compared."""
    email = address()
    await create(world, email)
    request = pb.SignInRequest(email=email, password="wrong wrong wrong")
    answers = await asyncio.gather(*(refused(world, "SignIn", request) for _ in range(12)))
    reasons = [failure.reason for failure in answers]
    assert reasons.count("INVALID_SIGN_IN") == ACCOUNT.free
    limited = [failure for failure in answers if failure.reason == "TOO_MANY_ATTEMPTS"]
    assert len(limited) == 12 - ACCOUNT.free
    assert {failure.code for failure in limited} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all(failure.retry_seconds is not None and 0 < failure.retry_seconds <= 1 for failure in limited)


@given(st.integers(0, 10_000), st.integers(0, 4_000_000), st.sampled_from([ACCOUNT, ADDRESS]))
def test_a_pause_grows_with_the_attempts_and_has_an_end(count: int, ago: int, throttle: Throttle) -> None:
    """The rule: "with increasing delay"; nobody is kept out for longer than its end, whoever tries in their name."""
    wait = throttle.wait_ms(Attempts(count, 1_000_000_000 - ago), 1_000_000_000)
    assert wait <= throttle.longest_seconds * 1000
    more = throttle.wait_ms(Attempts(count + 1, 1_000_000_000 - ago), 1_000_000_000)
    assert more >= wait or ago >= HOUR_MS
    if count < throttle.free:
        assert wait == 0


async def test_a_session_ends_after_an_hour_without_use_and_after_twelve_hours_at_all(world: World) -> None:
    """The rule: "idle 1 h, absolute 12 h"."""
    accounts, clock = with_clock(world)
    email = address()
    await administrators.create_administrator(accounts, email, "", PASSWORD)
    _, idle = await sessions.sign_in(accounts, email, PASSWORD, "")
    _, used = await sessions.sign_in(accounts, email, PASSWORD, "")
    for _ in range(13):
        clock.pass_by(3_300)
        await sessions.get_session(accounts, used.session_token)
    with pytest.raises(InvalidSession):
        await sessions.get_session(accounts, idle.session_token)
    clock.pass_by(12 * 3600 - 13 * 3300)
    with pytest.raises(InvalidSession):
        await sessions.get_session(accounts, used.session_token)


async def test_a_disabled_account_has_no_sessions_and_gets_none(world: World) -> None:
    """Proto: "Disables an account and ends its sessions; again is no error"."""
    email = address()
    await create(world, address())
    made = await create(world, email)
    token = await sign_in(world, email)
    request = pb.DisableAdministratorRequest(administrator_id=made.administrator_id)
    for _ in range(2):
        changed = (await call(world, "DisableAdministrator", request)).administrator
        assert changed.state == pb.ADMINISTRATOR_STATE_DISABLED
    assert (await refused(world, "GetSession", pb.GetSessionRequest(session_token=token))).reason == "INVALID_SESSION"
    link = pb.CreateSignInLinkRequest(administrator_id=made.administrator_id)
    assert (await refused(world, "CreateSignInLink", link)).reason == "ADMINISTRATOR_DISABLED"
    enabled = pb.EnableAdministratorRequest(administrator_id=made.administrator_id)
    for _ in range(2):
        changed = (await call(world, "EnableAdministrator", enabled)).administrator
        assert changed.state == pb.ADMINISTRATOR_STATE_ENABLED
    assert (await refused(world, "GetSession", pb.GetSessionRequest(session_token=token))).reason == "INVALID_SESSION"
    await sign_in(world, email)


async def test_the_last_administrator_stays_also_when_two_go_at_once(fresh_world: World) -> None:
    """Proto: "FAILED_PRECONDITION for the last enabled one"."""
    ids = [(await create(fresh_world, address())).administrator_id for _ in range(2)]
    requests = [pb.DisableAdministratorRequest(administrator_id=one) for one in ids]
    answers = await asyncio.gather(
        *(call(fresh_world, "DisableAdministrator", request) for request in requests), return_exceptions=True
    )
    failures = [answer for answer in answers if isinstance(answer, RpcFailure)]
    assert [(failure.code, failure.reason) for failure in failures] == [
        (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMINISTRATOR")
    ]


async def test_a_link_makes_one_account(world: World) -> None:
    """Proto: "a link that can be used once within 24 hours: to make an account"."""
    made = await call(world, "CreateSignInLink", pb.CreateSignInLinkRequest(), identity="admin")
    asked = await call(world, "GetSignInLink", pb.GetSignInLinkRequest(link_token=made.link_token))
    assert not asked.HasField("administrator")
    assert asked.expire_time == made.expire_time
    taken = address()
    await create(world, taken)
    wrong = pb.RedeemSignInLinkRequest(link_token=made.link_token, email=taken, password=PASSWORD)
    failure = await refused(world, "RedeemSignInLink", wrong)
    assert (failure.reason, failure.field) == ("EMAIL_TAKEN", "email")
    emails = [address() for _ in range(3)]
    answers = await asyncio.gather(
        *(
            call(
                world,
                "RedeemSignInLink",
                pb.RedeemSignInLinkRequest(link_token=made.link_token, email=email, name="Ada", password=PASSWORD),
            )
            for email in emails
        ),
        return_exceptions=True,
    )
    (done,) = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [answer.reason for answer in answers if isinstance(answer, RpcFailure)] == ["LINK_NOT_FOUND"] * 2
    session = pb.GetSessionRequest(session_token=done.session.session_token)
    assert (await call(world, "GetSession", session)).administrator.email in emails


async def test_a_link_of_an_account_chooses_its_password_and_ends_what_was_before(world: World) -> None:
    """Proto: "or to choose a new password for one"."""
    email = address()
    made = await create(world, email)
    token = await sign_in(world, email)
    request = pb.CreateSignInLinkRequest(administrator_id=made.administrator_id)
    one, other = [(await call(world, "CreateSignInLink", request)).link_token for _ in range(2)]
    asked = await call(world, "GetSignInLink", pb.GetSignInLinkRequest(link_token=one))
    assert asked.administrator.email == email
    renames = pb.RedeemSignInLinkRequest(link_token=one, email=address(), password="another password")
    assert (await refused(world, "RedeemSignInLink", renames)).field == "email"
    used = pb.RedeemSignInLinkRequest(link_token=one, password="another password")
    await call(world, "RedeemSignInLink", used)
    for gone in (one, other):
        failure = await refused(world, "GetSignInLink", pb.GetSignInLinkRequest(link_token=gone))
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "LINK_NOT_FOUND")
    assert (await refused(world, "GetSession", pb.GetSessionRequest(session_token=token))).reason == "INVALID_SESSION"
    await sign_in(world, email, "another password")


async def test_a_link_ends_after_a_day(world: World) -> None:
    """Proto: "within 24 hours"; what is over is pruned."""
    accounts, clock = with_clock(world)
    token, _ = await sessions.create_link(accounts, "")
    clock.pass_by(24 * 3600 - 1)
    assert (await sessions.get_link(accounts, token))[0] is None
    clock.pass_by(1)
    with pytest.raises(LinkNotFound):
        await sessions.redeem_link(accounts, token, address(), "", PASSWORD)
    assert await sessions.prune(accounts) >= 1
    assert await world.rows(sa.select(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.expires_ms <= clock.ms)) == []


async def test_what_is_over_is_pruned(world: World) -> None:
    """The rule: "expired rows pruned by the existing background task"."""
    accounts, clock = with_clock(world)
    email = address()
    await administrators.create_administrator(accounts, email, "", PASSWORD)
    await sessions.sign_in(accounts, email, PASSWORD, "")
    with pytest.raises(InvalidSignIn):
        await sessions.sign_in(accounts, address(), PASSWORD, "203.0.113.9")
    clock.pass_by(3600)
    await sessions.prune(accounts)
    for table, used in ((ADMINISTRATOR_SESSIONS, "used_ms"), (SIGN_IN_ATTEMPTS, "last_ms")):
        assert await world.rows(sa.select(table).where(table.c[used] <= clock.ms - HOUR_MS)) == []


async def test_a_new_password_ends_every_session_but_the_one_that_is_named(world: World) -> None:
    """Proto: "Sets the password of an account and ends its sessions, but for the one that is named"."""
    email = address()
    made = await create(world, email)
    mine, other = await sign_in(world, email), await sign_in(world, email)
    request = pb.SetPasswordRequest(
        administrator_id=made.administrator_id, password="another password", session_token=mine
    )
    failure = await refused(world, "SetPassword", request, acting=made.administrator_id)
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "current_password")
    request.current_password = "not this one"
    failure = await refused(world, "SetPassword", request, acting=made.administrator_id)
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "current_password")
    request.current_password = PASSWORD
    failure = await refused(world, "SetPassword", request, acting=str(uuid.uuid4()))
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "administrator_id")
    await call(world, "SetPassword", request, acting=made.administrator_id)
    await call(world, "GetSession", pb.GetSessionRequest(session_token=mine))
    assert (await refused(world, "GetSession", pb.GetSessionRequest(session_token=other))).reason == "INVALID_SESSION"
    # The command line sets it without the one before, for whoever has lost it.
    reset = pb.SetPasswordRequest(administrator_id=made.administrator_id, password=PASSWORD)
    await call(world, "SetPassword", reset, identity="admin")
    assert (await refused(world, "GetSession", pb.GetSessionRequest(session_token=mine))).reason == "INVALID_SESSION"


async def test_openid_signs_in_an_enabled_account_and_binds_it(world: World) -> None:
    """The rule: "only for an existing, enabled administrator with that e-mail; binds subject at first use"."""
    email, issuer = address(), "https://id.example.com"
    subject = uuid.uuid4().hex
    request = pb.SignInWithOpenIdRequest(issuer=issuer, subject=subject, email=email)
    assert (await refused(world, "SignInWithOpenId", request)).reason == "INVALID_SIGN_IN"
    made = await create(world, email, password="")
    assert not made.has_password
    answer = await call(world, "SignInWithOpenId", request)
    assert answer.administrator.openid_issuer == issuer
    session = pb.GetSessionRequest(session_token=answer.session.session_token)
    assert (await call(world, "GetSession", session)).administrator.administrator_id == made.administrator_id
    # Somebody else who got the address there, and the same person with the address of another account here.
    stranger = pb.SignInWithOpenIdRequest(issuer=issuer, subject="another", email=email)
    assert (await refused(world, "SignInWithOpenId", stranger)).reason == "INVALID_SIGN_IN"
    elsewhere = pb.SignInWithOpenIdRequest(issuer="https://other.example.com", subject=subject, email=email)
    assert (await refused(world, "SignInWithOpenId", elsewhere)).reason == "INVALID_SIGN_IN"
    second = await create(world, address())
    moved = pb.SignInWithOpenIdRequest(issuer=issuer, subject=subject, email=second.email)
    assert (await refused(world, "SignInWithOpenId", moved)).reason == "INVALID_SIGN_IN"
    by_id = pb.SignInWithOpenIdRequest(issuer=issuer, subject=subject, email=made.administrator_id)
    assert (await refused(world, "SignInWithOpenId", by_id)).reason == "INVALID_SIGN_IN"
    disable = pb.DisableAdministratorRequest(administrator_id=made.administrator_id)
    await call(world, "DisableAdministrator", disable)
    assert (await refused(world, "SignInWithOpenId", request)).reason == "INVALID_SIGN_IN"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": ""}, "email"),
        ({"email": "ada"}, "email"),
        ({"email": "ada@"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"email": "a@b@example.com"}, "email"),
        ({"email": "ad\u00e4@example.com"}, "email"),
        ({"email": "a" * 250 + "@example.com"}, "email"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"password": "elevenchars"}, "password"),
        ({"password": "x" * 1001}, "password"),
    ],
)
async def test_an_account_has_its_form(world: World, fields: dict[str, str], field: str) -> None:
    """Wiring: "INVALID_VALUE errors always set `field`"."""
    request = pb.CreateAdministratorRequest(**{"email": address(), "password": PASSWORD, **fields})
    failure = await refused(world, "CreateAdministrator", request, identity="admin")
    assert (failure.code, failure.reason, failure.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_VALUE",
        field,
    )


async def test_an_address_has_one_account_also_when_two_are_made_at_once(world: World) -> None:
    """Proto: "ALREADY_EXISTS when the e-mail address has one"."""
    email = address()
    requests = [pb.CreateAdministratorRequest(email=one) for one in (email, email.upper())]
    answers = await asyncio.gather(
        *(call(world, "CreateAdministrator", request) for request in requests), return_exceptions=True
    )
    failures = [answer for answer in answers if isinstance(answer, RpcFailure)]
    assert [(failure.code, failure.reason, failure.field) for failure in failures] == [
        (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN", "email")
    ]


async def test_accounts_are_listed_in_pages_and_found_by_id_and_address(fresh_world: World) -> None:
    """AIP-158; proto: "Reads one account, by id or e-mail address"."""
    made = [await create(fresh_world, f"{letter}@example.com", password="") for letter in "cab"]
    found, token = [], ""
    while True:
        request = pb.ListAdministratorsRequest(page_size=1, page_token=token)
        page = await call(fresh_world, "ListAdministrators", request, identity="admin")
        found += [one.email for one in page.administrators]
        if not (token := page.next_page_token):
            break
    assert found == ["a@example.com", "b@example.com", "c@example.com"]
    for name in (made[0].administrator_id, "C@Example.com"):
        answer = await call(fresh_world, "GetAdministrator", pb.GetAdministratorRequest(administrator=name))
        assert answer.administrator == made[0]
    forged = await refused(fresh_world, "ListAdministrators", pb.ListAdministratorsRequest(page_token="x"))
    assert forged.reason == "INVALID_PAGE_TOKEN"
    for nobody in ("", "x", "\0"):
        request = pb.DisableAdministratorRequest(administrator_id=nobody)
        failure = await refused(fresh_world, "DisableAdministrator", request)
        assert failure.reason in ("ADMINISTRATOR_NOT_FOUND", "INVALID_VALUE")


@pytest.mark.parametrize("method", SIGNING_IN)
async def test_nobody_but_the_console_signs_in(world: World, method: str) -> None:
    """Proto: "What signs somebody in needs the console's identity"."""
    request = getattr(pb, f"{method}Request")()
    for identity in ("admin", "gateway", "portal", "mdm"):
        failure = await refused(world, method, request, identity=identity)
        assert failure.code is grpc.StatusCode.PERMISSION_DENIED


async def test_the_audit_says_which_person_acted_on_the_word_of_the_console_alone(world: World) -> None:
    """The rule: "honoured only from identity console, so that the audit says which person acted"."""
    person = await create(world, address())
    emails = {"console": address(), "admin": address()}
    made = {}
    for identity, email in emails.items():
        request = pb.CreateAdministratorRequest(email=email)
        answer = await call(world, "CreateAdministrator", request, identity=identity, acting=person.administrator_id)
        made[answer.administrator.administrator_id] = identity
    rows = await world.rows(sa.select(AUDIT_LOG).where(AUDIT_LOG.c.method.like("%/CreateAdministrator")))
    told = {
        made[target]: (row.identity, row.administrator_id)
        for row in rows
        if (target := json.loads(row.targets).get("administrator_id", "")) in made
    }
    assert told == {"console": ("console", person.administrator_id), "admin": ("admin", "")}


async def test_the_audit_holds_who_signed_in_and_who_could_not(fresh_world: World) -> None:
    """The rule: "audit rows for each administrative action"; attempts that are not even taken leave none."""
    email = address()
    made = await create(fresh_world, email)
    await sign_in(fresh_world, email)
    request = pb.SignInRequest(email=email, password="wrong wrong wrong")
    for _ in range(ACCOUNT.free + 3):
        await refused(fresh_world, "SignIn", request)
    rows = await fresh_world.rows(
        sa.select(AUDIT_LOG).where(AUDIT_LOG.c.method.like("%/SignIn")).order_by(AUDIT_LOG.c.audit_id)
    )
    assert [row.outcome for row in rows] == ["OK", *["INVALID_SIGN_IN"] * ACCOUNT.free]
    assert json.loads(rows[0].targets)["administrator_id"] == made.administrator_id
    assert email not in repr(rows)


async def test_a_hash_of_less_work_is_renewed_when_its_password_is_shown(world: World) -> None:
    """What is asked for rises with the years; a password is known only while somebody signs in with it."""
    from argon2 import PasswordHasher

    email = address()
    made = await create(world, email)
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    change = sa.update(ADMINISTRATORS).where(ADMINISTRATORS.c.id == made.administrator_id).values(password_hash=weak)
    await world.server.db.write(lambda tx: tx.execute(change) and None)
    await sign_in(world, email)
    (row,) = await world.rows(sa.select(ADMINISTRATORS).where(ADMINISTRATORS.c.id == made.administrator_id))
    assert row.password_hash != weak
    await sign_in(world, email)


@given(st.text(max_size=300))
def test_no_text_breaks_the_check_of_an_address(text: str) -> None:
    """Whatever is typed is an address in printable ASCII with one @, or refused by name."""
    error: InvalidValue | None = None
    try:
        administrators.check_email(text)
    except InvalidValue as caught:
        error = caught
    plain = text.isascii() and text.isprintable() and " " not in text and text.count("@") == 1
    if error is None:
        assert plain
    else:
        assert error.field == "email"
        assert not (plain and 3 <= len(text) <= 254 and not text.startswith("@") and not text.endswith("@"))
