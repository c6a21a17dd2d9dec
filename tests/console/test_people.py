"""Pages of people: users, groups, collaborators, employees, publications."""

from __future__ import annotations

import html
import re

import pytest

from console.attributes import attributes, metadata
from tests.console.company import ENTERPRISE_URN, Company, console_shows, next_of, person, rows_of, text_of
from tests.console.conftest import Console
from tests.stack import Stack

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def acme(console_stack: Stack) -> Company:
    """One company for the tests of this file, each of which works with people of its own."""
    return Company(console_stack)


@pytest.fixture
def fresh(console_stack: Stack) -> Company:
    """A company of a test's own."""
    return Company(console_stack)


async def test_a_connection_without_people_says_what_to_do_next(console: Console, fresh: Company) -> None:
    """Specification: "empty states that say what to do next"."""
    expected = {
        f"{fresh.base('mdm')}/users": "Assign people to the application",
        f"{fresh.base('mdm')}/groups": "Push a group in the identity provider",
        f"{fresh.base('mdm')}/parked": "No parked members",
        f"{fresh.root}/collaborators": "No collaborators yet",
        f"{fresh.root}/employees/store": "No employees yet",
        f"{fresh.root}/employees/mdm": "No employees yet",
        f"{fresh.root}/publications": "No apps yet",
    }
    for path, words in expected.items():
        assert words in await console.get(path)
    leads = await console.client.get(f"{fresh.root}/employees")
    assert (leads.status_code, leads.headers["location"]) == (303, f"{fresh.root}/employees/store")
    await console.get(f"{fresh.root}/employees/dashboard", status=404)


async def test_users_are_listed_by_name_in_pages_and_searched(console: Console, fresh: Company) -> None:
    """Specification: "users and groups (search, filter, paging …)"."""
    names = [f"user{number:02}@acme.test" for number in range(51)]
    ids = {name: fresh.create_user("store", name) for name in names}
    fresh.deactivate("store", ids[names[7]])
    users = f"{fresh.base('store')}/users"
    first = await console.get(users)
    assert "51 users of this connection" in text_of(first)
    second = await console.get(next_of(first))
    assert rows_of(first) + rows_of(second) == names
    assert not next_of(second)
    assert rows_of(await console.get(f"{users}?q=USER0&state=active")) == names[:7] + names[8:10]
    assert rows_of(await console.get(f"{users}?state=inactive")) == [names[7]]
    assert "Nobody found" in await console.get(f"{users}?q=ser0")
    fresh.stack.settled()
    fresh.send("store", "PATCH", f"/Users/{ids[names[3]]}", {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": 'emails[type eq "work"].value', "value": "grace@acme.test"}],
    })  # fmt: skip
    fresh.stack.settled()
    assert rows_of(await console.get(f"{users}?q={person('Grace@acme.test')}")) == [names[3]]


async def test_an_expert_searches_by_a_scim_filter_and_is_told_what_is_wrong_with_it(
    console: Console, acme: Company
) -> None:
    """Specification: users are searched by filter; an error is told at its field, and nothing else is lost."""
    acme.create_user("store", "zoe@acme.test", title='Chief "Z"', externalId="z-1")
    acme.create_user("store", "zack@acme.test", title="Clerk")
    users = f"{acme.base('store')}/users"

    async def find(filter: str, text: str = "") -> str:
        return await console.get(f"{users}?filter={person(filter)}&q={person(text)}")

    assert rows_of(await find('title co "chief"')) == ["zoe@acme.test"]
    assert rows_of(await find('title pr or externalId eq "z-1"', "za")) == ["zack@acme.test"]
    for wrong, words in (
        ("title is nice", "is"),
        ("title eq", "title"),
        ('password eq "x"', "cannot be used in a filter"),
        ('title eq "a") or (active eq true', ")"),
    ):
        page = await find(wrong)
        assert re.search(r'aria-invalid="true"[^>]*>|id="filter-error"', page), wrong
        assert words in text_of(page)
        assert html.escape(wrong, quote=True).replace("&quot;", "&#34;") in page
        assert rows_of(page) == []
    assert rows_of(await find('title eq "Chief \\"Z\\""')) == ["zoe@acme.test"]
    assert "Nobody found" in await find("", '"zoe')


async def test_a_user_is_shown_with_everything_that_follows_from_them(console: Console, acme: Company) -> None:
    """Specification: "a user's groups, metadata, accounts, devices, effects"."""
    ada = acme.create_user(
        "mdm", "ada@acme.test", externalId="00u1", name={"givenName": "Ada", "familyName": "L<b>"},
        **{ENTERPRISE_URN: {"department": "Tools"}},
    )  # fmt: skip
    inner = acme.create_group("mdm", "Inner", ada)
    acme.create_group("mdm", "Outer", inner)
    acme.stack.settled()
    device = acme.enroll("ADA-1", owner_email="ada@acme.test")

    found = await console.get(f"{acme.base('mdm')}/users/{ada}")
    words = text_of(found)
    for expected in (
        "ada@acme.test", "00u1", "Employee ada@acme.test, active", "Inner direct", "Outer through another group",
        "Create the employee", "Applied", f"{ENTERPRISE_URN}:department Tools", "name.familyName L<b>",
    ):  # fmt: skip
        assert expected in words
    assert "L<b>" not in found
    assert f"/devices/{device}" in found
    assert f"{acme.root}/employees/mdm/person?email=ada%40acme.test" in found
    # The gateway tells of its requests once a second.
    await console_shows(console, f"{acme.base('mdm')}/users/{ada}", "POST /Users")
    await console.get(f"{acme.base('store')}/users/{ada}", status=404)


async def test_a_collaborators_user_page_names_role_and_source(console: Console, acme: Company) -> None:
    """PRODUCT §4: "A collaborator knows where its role came from"."""
    nobody = acme.create_user("dashboard", "no-mail", emails=[])
    somebody = acme.create_user("dashboard", "kim@acme.test")
    acme.stack.settled()
    assert "role Viewer (default role)" in text_of(await console.get(f"{acme.base('dashboard')}/users/{somebody}"))
    words = text_of(await console.get(f"{acme.base('dashboard')}/users/{nobody}"))
    assert "No collaborator follows this user" in words
    assert "The user has no e-mail address" in words


async def test_groups_are_searched_and_show_members_parked_ones_and_what_they_grant(
    console: Console, acme: Company
) -> None:
    """Specification: "groups", "parked members"; PRODUCT §2: parked members are "visible to the administrator"."""
    ids = [acme.create_user("dashboard", f"member{number:02}@acme.test") for number in range(52)]
    group = acme.create_group("dashboard", "applivery-editor", *ids, "unknown-1", "unknown-2")
    acme.create_group("dashboard", "Other")
    acme.stack.settled()
    groups = f"{acme.base('dashboard')}/groups"
    assert rows_of(await console.get(f"{groups}?q=APPLI")) == ["applivery-editor"]
    other = person('displayName co "the"')
    assert rows_of(await console.get(f"{groups}?filter={other}")) == ["Other"]
    assert 'id="filter-error"' in await console.get(f"{groups}?filter=nonsense")
    page = await console.get(f"{groups}/{group}")
    assert "Role Developer / Editor, by the role mapping of applivery-editor" in text_of(page)
    assert {"unknown-1", "unknown-2"} <= set(rows_of(page))
    following = await console.get(next_of(page))
    members = [row for row in rows_of(page) + rows_of(following) if row.startswith("member")]
    assert members == [f"member{number:02}@acme.test" for number in range(52)]
    parked = await console.get(f"{acme.base('dashboard')}/parked")
    assert rows_of(parked) == ["unknown-1", "unknown-2"]
    assert "2 members of groups name no user" in text_of(parked)
    await console.get(f"{acme.base('mdm')}/groups/{group}", status=404)


async def test_collaborators_are_added_given_roles_and_removed(console: Console, acme: Company) -> None:
    """Specification: "collaborators"; PRODUCT §4: "A person's choice (MANUAL) is never overwritten"."""
    people = f"{acme.root}/collaborators"
    email = "boss/one+x@acme.test"
    where = await console.submit(people, email=email, display_name="Boss", role="admin")
    assert where == f"{people}/person?email={person(email)}"
    assert "is a collaborator now" in await console.get(where)
    assert rows_of(await console.get(f"{people}?q=BOSS")) == [email]
    refused = await console.post(people, email=email, role="viewer")
    assert (refused.status_code, "email-error" in refused.text) == (422, True)
    for fields, field in (({"email": "", "role": "admin"}, "email"), ({"email": "a@b", "role": "king"}, "role")):
        refused = await console.post(people, **fields)
        assert (refused.status_code, f'id="{field}-error"' in refused.text) == (422, True)
    last = await console.post(where, role="viewer")
    assert last.status_code == 422
    assert "ADMIN" in text_of(last.text)
    await console.submit(people, email="second@acme.test", role="admin")
    assert await console.submit(where, role="editor") == where
    assert "Developer / Editor" in text_of(await console.get(where))
    remove = f"{people}/person/remove?email={person(email)}"
    assert "1 person loses access" in text_of(await console.get(remove))
    wrong = await console.post(remove, confirmation="boss")
    assert (wrong.status_code, f"Type {email} to confirm" in html.unescape(wrong.text)) == (422, True)
    assert await console.submit(remove, confirmation=email) == people
    await console.get(where, status=404)


async def test_the_last_admin_cannot_be_removed_and_the_page_says_so(console: Console, fresh: Company) -> None:
    """PRODUCT §4: "The last ADMIN of a workspace is never removed or demoted"."""
    people = f"{fresh.root}/collaborators"
    await console.submit(people, email="only@acme.test", role="admin")
    answer = await console.post(f"{people}/person/remove?email=only%40acme.test", confirmation="only@acme.test")
    assert answer.status_code == 422
    assert "ADMIN" in text_of(answer.text)
    assert "only@acme.test" in await console.get(people)


async def test_employees_of_the_store_and_of_device_management_are_apart(console: Console, acme: Company) -> None:
    """Specification: "employees"; PRODUCT §5: "Which publications an employee sees"."""
    acme.create_user("store", "sam@acme.test", displayName="Sam Store")
    acme.create_user("mdm", "max@acme.test", displayName="Max Device")
    acme.stack.settled()
    assert rows_of(await console.get(f"{acme.root}/employees/store?q=sam")) == ["sam@acme.test"]
    assert rows_of(await console.get(f"{acme.root}/employees/mdm?q=sam")) == []
    assert rows_of(await console.get(f"{acme.root}/employees/mdm?q=max")) == ["max@acme.test"]
    await console.submit(f"{acme.root}/publications", name="Mail for all", audience="")
    store = text_of(await console.get(f"{acme.root}/employees/store/person?email=sam%40acme.test"))
    assert "Sam Store" in store
    assert "Mail for all every employee" in store
    assert "Create the employee" in store
    device = text_of(await console.get(f"{acme.root}/employees/mdm/person?email=max%40acme.test"))
    assert "This employee has none" in device
    await console.get(f"{acme.root}/employees/store/person?email=max%40acme.test", status=404)


async def test_apps_are_offered_to_audiences_that_change(console: Console, acme: Company) -> None:
    """Specification: "publications with audiences"; PRODUCT §5: "access ends with membership or with the employee"."""
    eve = acme.create_user("store", "eve@acme.test")
    acme.create_user("store", "tom@acme.test")
    acme.create_group("store", "Sales", eve)
    acme.create_group("store", "Staff")
    acme.stack.settled()
    apps = f"{acme.root}/publications"
    missing = await console.post(apps, name="Forecast", audience="Sales\nNobody")
    assert (missing.status_code, 'id="audience-error"' in missing.text) == (422, True)
    assert "Nobody" in text_of(missing.text)
    where = await console.submit(apps, name="Forecast", audience="sales")
    page = await console.get(where)
    assert "members of 1 group" in text_of(page)
    assert "Sales 1" in text_of(page)
    group = re.search(r'name="group" value="([^"]+)"', page)
    assert group is not None
    assert "eve@acme.test sees this app" in text_of(await console.get(f"{where}?email=eve%40acme.test"))
    assert "tom@acme.test does not see" in text_of(await console.get(f"{where}?email=tom%40acme.test"))
    await console.submit(where, seen_by="groups", group=group[1], audience="Staff")
    assert "members of 2 groups" in text_of(await console.get(where))
    nobody = await console.post(where, seen_by="groups", audience="")
    assert (nobody.status_code, 'id="audience-error"' in nobody.text) == (422, True)
    await console.submit(where, seen_by="everybody", group=group[1])
    assert "every employee of the Enterprise Store" in text_of(await console.get(where))
    assert "No employee of the Enterprise Store sees the app any more" in text_of(await console.get(f"{where}/delete"))
    assert (await console.post(f"{where}/delete", confirmation="forecast")).status_code == 422
    assert await console.submit(f"{where}/delete", confirmation="Forecast") == apps
    await console.get(where, status=404)
    again = await console.post(apps, name="")
    assert 'id="name-error"' in again.text


def test_attributes_are_named_by_their_paths() -> None:
    """RFC 7644 §3.10: attributes of an extension are named behind its URN; RFC 7643 §2.4: values have a type."""
    from rollcall.directory.v1 import user_pb2

    user = user_pb2.User(user_name="ada", active=False, name=user_pb2.Name(given_name="Ada"))
    user.emails.add(value="a@x.example", type="work", primary=True)
    user.emails.add(value="b@x.example")
    user.enterprise.department = "Tools"
    user.extensions["urn:x:y"] = '{"level":{"now":3},"tags":["a","b"],"none":null}'
    assert dict(attributes(user)) == {
        "userName": "ada", "active": "false", "name.givenName": "Ada",
        "emails[work].value": "a@x.example", "emails[work].type": "work", "emails[work].primary": "true",
        "emails[2].value": "b@x.example", f"{ENTERPRISE_URN}:department": "Tools",
        "urn:x:y:level.now": "3", "urn:x:y:tags[1]": "a", "urn:x:y:tags[2]": "b",
    }  # fmt: skip
    user.metadata.update({"floor": 3, "share": 0.5, "tags": ["a"], "none": None, "on": True})
    assert metadata(user.metadata) == [("floor", "3"), ("on", "true"), ("share", "0.5"), ("tags[1]", "a")]
