# SPDX-License-Identifier: AGPL-3.0-or-later
"""faas-cli for tests: the program itself where it is installed, and a client that speaks as it does.

The program is looked for in $FAAS_CLI, then on the path; `tools/setup faas-cli` installs it where its Go module is
served. `Speaker` sends what faas-cli 0.16 sends, in its order, and takes for success exactly the statuses that it
takes, so that an answer which the program would call a failure fails the same test.
"""

import base64
import json
import os
import shutil
import subprocess
import urllib.parse

import clients

#: What tools/setup installs.
VERSION = "0.16.28"


class Refused(Exception):
    """The command would print an error and end with status 1."""


def find_program():
    return os.environ.get("FAAS_CLI") or shutil.which("faas-cli")


class Program:
    """The program itself, with a configuration of its own."""

    def __init__(self, program, gateway, configuration):
        self._program = program
        self._gateway = gateway
        self._environment = {**os.environ, "OPENFAAS_CONFIG": str(configuration), "HOME": str(configuration)}

    def _run(self, *words, stdin=""):
        done = subprocess.run([self._program, *words, "--gateway", self._gateway], input=stdin, text=True,
                              capture_output=True, timeout=90, env=self._environment)
        if done.returncode != 0:
            raise Refused(done.stdout + done.stderr)
        return done.stdout

    def login(self, user, password):
        self._run("login", "--username", user, "--password-stdin", stdin=password)

    def deploy(self, name, image, process, secrets=()):
        words = [word for secret in secrets for word in ("--secret", secret)]
        self._run("deploy", "--name", name, "--image", image, "--fprocess", process, *words)

    def store_list(self, url):
        done = subprocess.run([self._program, "store", "list", "--url", url], capture_output=True, text=True,
                              timeout=60, check=True, env=self._environment)
        return done.stdout

    def store_deploy(self, name, url):
        self._run("store", "deploy", name, "--url", url)

    def list(self):
        return self._run("list", "--verbose")

    def describe(self, name):
        return self._run("describe", name)

    def invoke(self, name, body):
        return self._run("invoke", name, stdin=body)

    def invoke_async(self, name, body):
        self._run("invoke", name, "--async", stdin=body)

    def logs(self, name):
        return self._run("logs", name, "--tail=false")

    def secret_create(self, name, value):
        self._run("secret", "create", name, "--from-literal", value)

    def secret_update(self, name, value):
        self._run("secret", "update", name, "--from-literal", value)

    def secret_list(self):
        return self._run("secret", "list")

    def secret_remove(self, name):
        self._run("secret", "remove", name)

    def namespaces(self):
        return self._run("namespaces")

    def ready(self):
        self._run("ready")

    def version(self):
        return self._run("version")

    def remove(self, name):
        self._run("remove", name)


class Speaker:
    """A client that speaks as faas-cli does."""

    def __init__(self, port):
        self._port = port
        self._login = {}

    def _ask(self, method, target, accepted, body=None, secured=True):
        text = body if body is None or isinstance(body, bytes) else json.dumps(body)
        headers = {"User-Agent": f"faas-cli/{VERSION}", **(self._login if secured else {})}
        answer = clients.request(self._port, method, target, text, headers, timeout=60)
        if answer.status not in accepted:
            raise Refused(f"{method} {target}: {answer.status} {answer.text}")
        return answer

    def login(self, user, password):
        """Asks for the functions; only 200 is a login."""
        words = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._login = {"Authorization": f"Basic {words}"}
        self._ask("GET", "/system/functions", {200})

    def deploy(self, name, image, process, secrets=(), **more):
        """PUT; only after 404 POST. Absent lists and maps are null."""
        body = {"service": name, "image": image, "envProcess": process, "envVars": {}, "constraints": None,
                "secrets": list(secrets) or None, "labels": {}, "annotations": {}, "limits": None,
                "requests": None, "readOnlyRootFilesystem": False, **more}
        if self._ask("PUT", "/system/functions", {200, 201, 202, 404}, body).status == 404:
            self._ask("POST", "/system/functions", {200, 201, 202}, body)

    def store_list(self, url):
        target = urllib.parse.urlsplit(url).path
        store = json.loads(self._ask("GET", target, {200}, secured=False).text)
        return "\n".join(f"{item['title']} {item['description']}" for item in store["functions"])

    def store_deploy(self, name, url):
        target = urllib.parse.urlsplit(url).path
        store = json.loads(self._ask("GET", target, {200}, secured=False).text)
        [item] = [item for item in store["functions"] if item["name"] == name]
        self.deploy(name, item["images"]["x86_64"], item["fprocess"], envVars=item.get("environment", {}),
                    labels=item.get("labels", {}), annotations=item.get("annotations", {}))

    def list(self):
        functions = json.loads(self._ask("GET", "/system/functions", {200}).text)
        return "\n".join(f"{function['name']} {function['image']} {int(function['invocationCount'])} "
                         f"{function['replicas']} {function['createdAt']}" for function in functions)

    def describe(self, name):
        """One function with its usage, then the list for the count of its calls."""
        target = f"/system/function/{name}?usage=1"
        function = json.loads(self._ask("GET", target, {200}).text)
        [listed] = [other for other in json.loads(self._ask("GET", "/system/functions", {200}).text)
                    if other["name"] == name]
        ready = "Ready" if function["availableReplicas"] > 0 else "Not Ready"
        return (f"Name: {function['name']} Status: {ready} Invocations: {int(listed['invocationCount'])} "
                f"Image: {function['image']} Function process: {function['envProcess']}")

    def invoke(self, name, body):
        """Without -n it writes the default namespace out; without --auth it sends no credentials."""
        return self._ask("POST", f"/function/{name}.openfaas-fn", range(200, 300), body.encode(),
                         secured=False).text

    def invoke_async(self, name, body):
        self._ask("POST", f"/async-function/{name}.openfaas-fn", {202}, body.encode(), secured=False)

    def logs(self, name):
        answer = self._ask("GET", f"/system/logs?follow=false&name={name}&tail=-1", {200})
        return "\n".join(json.loads(line)["text"] for line in answer.text.splitlines())

    def secret_create(self, name, value):
        self._ask("POST", "/system/secrets", {200, 201, 202}, {"name": name, "value": value})

    def secret_update(self, name, value):
        self._ask("PUT", "/system/secrets", {200, 202}, {"name": name, "value": value})

    def secret_list(self):
        secrets = json.loads(self._ask("GET", "/system/secrets", {200, 202}).text)
        return "\n".join(secret["name"] for secret in secrets)

    def secret_remove(self, name):
        self._ask("DELETE", "/system/secrets", {200, 202}, {"name": name})

    def namespaces(self):
        return "\n".join(json.loads(self._ask("GET", "/system/namespaces", {200}).text))

    def ready(self):
        self._ask("GET", "/healthz", {200}, secured=False)

    def version(self):
        info = json.loads(self._ask("GET", "/system/info", {200}).text)
        return f"{info['version']['release']} {info['provider']['version']['release']} " \
               f"{info['provider']['provider']} {info['provider']['orchestration']}"

    def remove(self, name):
        self._ask("DELETE", "/system/functions", {200, 201, 202}, {"functionName": name})
