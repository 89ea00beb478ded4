# SPDX-License-Identifier: AGPL-3.0-or-later
"""The page of a node: who may have it, what it may do in a browser, and what others' pages may not."""

import json
import re

import pytest
from federation import Federation
from waiting import wait_until

FILES = {"/ui/": "text/html", "/ui/page.css": "text/css", "/ui/page.js": "text/javascript",
         "/ui/node.json": "application/json"}
MARKUP = """<script>document.title=1</script><img src=x onerror="alert(1)">"""


@pytest.fixture(scope="module")
def nodes():
    with Federation("light", "heavy") as federation:
        federation["light"].deploy("cat", "cat")
        federation.wait_connected()
        yield federation


@pytest.fixture(scope="module")
def node(nodes):
    return nodes["light"]


@pytest.mark.parametrize("path", [*FILES, "/ui"])
def test_nothing_of_it_is_there_without_credentials(node, path):
    answer = node.request("GET", path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Restricted"'
    assert node.request("GET", path, headers={"Authorization": "Basic YWRtaW46eA=="}).status == 401


def test_short_form_leads_to_it(node):
    answer = node.system("GET", "/ui")
    assert answer.status == 308
    assert answer.headers["Location"] == "/ui/"


@pytest.mark.parametrize("path", FILES)
def test_browsers_are_told_what_it_may_do(node, path):
    answer = node.system("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(FILES[path])
    policies = answer.headers.all("Content-Security-Policy")
    assert len(policies) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"


def test_it_needs_nothing_from_elsewhere(node):
    """Works without a network, and within its own policy: no address but its own files, no script or style inside."""
    page = node.system("GET", "/ui/").text
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"page.css", "page.js"}
    assert not re.search(r"<script(?![^>]*src=)|<style|\bstyle=|\bon[a-z]+=", page)
    everything = page + node.system("GET", "/ui/page.css").text + node.system("GET", "/ui/page.js").text
    assert not re.search(r"https?:|url\(|@import|//[a-z0-9-]+\.", everything)


def test_script_makes_no_markup_of_texts(node):
    script = node.system("GET", "/ui/page.js").text
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML",
                         script)


def test_everything_that_script_and_page_name_is_there(node):
    page, script = (node.system("GET", path).text for path in ("/ui/", "/ui/page.js"))
    used = set(re.findall(r'byId\("([a-z-]+)"\)', script))
    assert used and used <= set(re.findall(r'\bid="([a-z-]+)"', page))
    labelled = re.findall(r'<(?:input|select|textarea) id="([a-z-]+)"', page)
    assert labelled and set(labelled) <= set(re.findall(r'<label for="([a-z-]+)"', page))
    for path in ("/system/functions?usage=1", "/ui/node.json", "/store.json"):
        assert path in script
        assert node.system("GET", path).status == 200


def test_unknown_paths_and_methods(node):
    assert node.system("GET", "/ui/other.js").status == 404
    assert node.system("POST", "/ui/", b"{}").status == 405
    assert node.system("HEAD", "/ui/").status == 200
    assert "default-src 'none'" in node.system("GET", "/ui/other.js").headers["Content-Security-Policy"]


def test_node_and_neighbours_are_told(nodes, node):
    def told():
        return json.loads(node.system("GET", "/ui/node.json").text)

    neighbour = wait_until(lambda: [entry for entry in told()["neighbours"] if entry["up"]],
                           "the neighbour to be in the plan")[0]
    assert (neighbour["id"], neighbour["name"]) == (nodes["heavy"].id, "heavy")
    assert neighbour["organisation"] == "acme"
    assert told()["id"] == node.id and told()["node"] == "light" and told()["platform"] == "embedded"


def test_texts_that_look_like_markup_come_as_they_are(node):
    """The page gets them as JSON, whose type no browser takes for a page."""
    node.deploy("markup", f"echo '{MARKUP}'", labels={"note": MARKUP})
    answer = node.system("GET", "/system/functions?usage=1")
    assert answer.headers["Content-Type"] == "application/json"
    shown = {entry["name"]: entry for entry in json.loads(answer.text)}["markup"]
    assert MARKUP in shown["envProcess"] and shown["labels"]["note"] == MARKUP
    assert node.try_deploy(MARKUP, "cat").status == 400
    node.remove("markup")


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}], ids=str)
def test_pages_of_others_change_nothing_with_remembered_credentials(node, headers):
    """A form of any page may POST text to us, and a browser adds the operator's credentials to it."""
    body = json.dumps({"service": "stolen", "image": "host:", "envProcess": "cat"})
    headers = {**node.credentials(), "Content-Type": "text/plain", **headers}
    for method, target in (("POST", "/system/functions"), ("DELETE", "/system/functions"),
                           ("POST", "/system/scale-function/cat"), ("POST", "/system/secrets")):
        answer = node.request(method, target, body, headers)
        assert answer.status == 403 and "another site" in answer.text, (method, target)
    names = [entry["name"] for entry in json.loads(node.system("GET", "/system/functions").text)]
    assert names == ["cat"]


def test_own_page_changes_what_it_is_told_to(node):
    headers = {**node.credentials(), "Origin": f"http://127.0.0.1:{node.user_port}",
               "Content-Type": "application/json"}
    body = json.dumps({"service": "own", "image": "host:", "envProcess": "cat"})
    assert node.request("POST", "/system/functions", body, headers).status == 202
    assert node.request("DELETE", "/system/functions", '{"functionName": "own"}', headers).status == 202
