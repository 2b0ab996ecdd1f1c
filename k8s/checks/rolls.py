"""A changed setting or Secret rolls the pods that read it and no others, by kustomize with checksums.py and by Helm alike.

Helm looks Secrets up in the cluster. A small server stands in for it, which knows Secrets and nothing else.
"""

import base64
import copy
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from checksums import with_checksums

from .objects import WORKERS

NAMESPACE = "watchbell"
SECRETS = {
    name: {"key": base64.b64encode(name.encode()).decode()}
    for name in ["watchbell", "watchbell-auth", "watchbell-links", "watchbell-providers"]
}
# What changes, and whose pods have to start anew.
OF_SECRETS = {
    "watchbell": set(WORKERS),
    "watchbell-auth": {"socket"},
    "watchbell-links": {"socket", "fallback"},
    "watchbell-providers": {"fallback"},
}
OF_CONFIGS = {"watchbell": set(WORKERS), "watchbell-public": {"socket", "fallback"}, "watchbell-providers": {"fallback"}}


def check(items):
    before = noted(with_checksums(copy.deepcopy(items), SECRETS))
    if noted(with_checksums(copy.deepcopy(items), SECRETS)) != before:
        yield "checksums.py: pods roll without a change"
    for name, expected in OF_SECRETS.items():
        after = noted(with_checksums(copy.deepcopy(items), SECRETS | {name: {"key": "Y2hhbmdlZA=="}}))
        yield from wrong(f"the Secret {name} changed", before, after, expected)
    for name, expected in OF_CONFIGS.items():
        changed = copy.deepcopy(items)
        config = next(i for i in changed if i["kind"] == "ConfigMap" and i["metadata"]["name"] == name)
        config["data"]["WATCHBELL__LOG__FILTER"] = "debug"
        yield from wrong(f"the ConfigMap {name} changed", before, noted(with_checksums(changed, SECRETS)), expected)


def check_helm(items, render):
    """Helm comes to the checksums that checksums.py comes to. `render` renders the chart, given a cluster's kubeconfig."""
    with cluster() as kubeconfig:
        by_helm = noted(render(kubeconfig))
    ours = noted(with_checksums(copy.deepcopy(items), SECRETS))
    if by_helm != ours:
        yield f"the chart notes {by_helm}, and checksums.py {ours}"


def noted(items):
    """The checksums on each worker's pods."""
    found = {}
    for item in items:
        if item["kind"] == "Deployment":
            notes = item["spec"]["template"]["metadata"]["annotations"]
            found[item["metadata"]["name"]] = {key: value for key, value in notes.items() if key.startswith("checksum/")}
    return found


def wrong(what, before, after, expected):
    rolled = {worker for worker in WORKERS if before[worker] != after[worker]}
    if rolled != expected:
        yield f"checksums.py: {what}, and {sorted(rolled)} start anew where {sorted(expected)} have to"


@contextmanager
def cluster():
    """A stand-in for the Kubernetes API, as long as it is needed; what is given is its kubeconfig."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        named = {"clusters": [{"name": "x", "cluster": {"server": address}}], "users": [{"name": "x", "user": {}}]}
        contexts = [{"name": "x", "context": {"cluster": "x", "user": "x"}}]
        yield json.dumps({"apiVersion": "v1", "kind": "Config", **named, "contexts": contexts, "current-context": "x"})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        folder, name = self.path.split("?")[0].rsplit("/", 1)
        if self.path.startswith("/api/v1?") or self.path == "/api/v1":
            kinds = [{"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get"]}]
            self.answer(200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": kinds})
        elif folder == f"/api/v1/namespaces/{NAMESPACE}/secrets" and name in SECRETS:
            metadata = {"name": name, "namespace": NAMESPACE}
            self.answer(200, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": SECRETS[name]})
        else:
            self.answer(404, {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: what it is asked is no news."""
