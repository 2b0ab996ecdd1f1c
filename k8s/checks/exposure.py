"""What is reached from outside the cluster: HTTP of `ingest` and `socket` alone, over TLS, with time for long sessions."""

import re

from .network import PUBLIC
from .objects import ROOT, Planted, name_of

NGINX, HAPROXY = "nginx.ingress.kubernetes.io/", "haproxy-ingress.github.io/"
# A poll may be silent for 50 s, a session for 30 (a ping every 25 s, give or take a fifth).
SILENCE_S_MIN = 60


def check(items):
    ways = [item for item in items if item["kind"] in ("Ingress", "HTTPRoute")]
    for item in items:
        if item["kind"] == "Service":
            yield from (f"{name_of(item)}: {what}" for what in check_service(item))
    for way in ways:
        yield from (f"{name_of(way)}: {what}" for what in check_way(way))
    config = next((i["data"] for i in items if name_of(i) == "ConfigMap/watchbell"), {})
    if ways and "WATCHBELL__HTTP__TRUSTED_PROXIES" not in config:
        yield "all people seem to come from the ingress: set WATCHBELL__HTTP__TRUSTED_PROXIES to where it is"
    for gateway in items:
        if gateway["kind"] == "Gateway" and any("tls" not in listener for listener in gateway["spec"]["listeners"]):
            yield f"{name_of(gateway)}: tokens would travel in plain sight: give each listener tls"


def check_service(service):
    spec, name = service["spec"], service["metadata"]["name"]
    # Mail servers come to it by themselves, and to nothing else behind it.
    takes_mail = name == "bounces" and [port.get("targetPort") for port in spec["ports"]] == ["smtp"]
    if spec.get("type", "ClusterIP") != "ClusterIP" and not takes_mail:
        yield f"is a {spec['type']}, which goes past your ingress and its TLS"
    if name in PUBLIC and any(port.get("targetPort") != "http" for port in spec["ports"]):
        yield "has more than HTTP: what is behind an Ingress must not lead to metrics"


def check_way(way):
    for service, port in backends(way):
        if service not in PUBLIC or port not in ("http", 80):
            yield f"leads to {port} of {service}: only HTTP of {' and '.join(sorted(PUBLIC))} is for others"
    if way["kind"] == "Ingress" and not way["spec"].get("tls"):
        yield "tokens would travel in plain sight: set tls"
    to = {service for service, _ in backends(way)}
    if "socket" in to:
        yield from check_patience(way)
    if "ingest" in to and way["spec"].get("ingressClassName") == "nginx":
        most = annotation(way, NGINX + "proxy-body-size") or "1m"
        if int(most.removesuffix("m")) * 1024 * 1024 < body_bytes_max():
            yield f"refuses bodies beyond {most} that ingest takes"


def check_patience(way):
    """Sessions that last an hour, may be silent for half a minute, and are seen while they happen."""
    if way["kind"] == "HTTPRoute":
        for rule in way["spec"]["rules"]:
            for timeout in ("request", "backendRequest"):
                if rule.get("timeouts", {}).get(timeout) != "0s":
                    yield f"may end a session by its time-out `{timeout}`, which counts all of it: set it to 0s"
        return
    if way["spec"].get("ingressClassName") == "nginx":
        patience = [NGINX + "proxy-read-timeout", NGINX + "proxy-send-timeout"]
        if annotation(way, NGINX + "proxy-buffering") != "off":
            yield "holds server-sent events back: set proxy-buffering to off"
    else:
        patience = [HAPROXY + "timeout-tunnel", HAPROXY + "timeout-server"]
    for name in patience:
        if seconds(annotation(way, name)) < SILENCE_S_MIN:
            yield f"ends sessions that are silent: set {name} to {SILENCE_S_MIN} s or more"


def backends(way):
    if way["kind"] == "HTTPRoute":
        return [(to["name"], to["port"]) for rule in way["spec"]["rules"] for to in rule["backendRefs"]]
    services = [path["backend"]["service"] for rule in way["spec"]["rules"] for path in rule["http"]["paths"]]
    return [(service["name"], service["port"].get("name", service["port"].get("number"))) for service in services]


def annotation(item, name):
    return item["metadata"].get("annotations", {}).get(name)


def seconds(text):
    """A duration as nginx (a bare number) or HAProxy (with its unit) writes it; 0 for none."""
    number, unit = re.fullmatch(r"(\d+)(s|m|h|)", text or "0").groups()
    return int(number) * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]


def body_bytes_max():
    text = (ROOT / "workers/ingest/src/limits.rs").read_text()
    factors = re.search(r"pub const BODY_BYTES_MAX: usize = (\d+) \* 1024 \* 1024;", text)
    return int(factors[1]) * 1024 * 1024


def ingress(sample, service="socket", *, kind="nginx", port="http", tls=True, **annotations):
    """Plants an Ingress that is right but for what is said otherwise."""
    prefix, right = {
        "nginx": (
            NGINX,
            {"proxy-read-timeout": "75", "proxy-send-timeout": "75", "proxy-buffering": "off", "proxy-body-size": "8m"},
        ),
        "haproxy": (HAPROXY, {"timeout-tunnel": "75s", "timeout-server": "75s"}),
    }[kind]
    said = right | {name.replace("_", "-"): value for name, value in annotations.items()}
    backend = {"service": {"name": service, "port": {"name": port}}}
    spec = {"ingressClassName": kind, "rules": [{"http": {"paths": [{"backend": backend}]}}]}
    if tls:
        spec["tls"] = [{"hosts": ["alerts.example.com"]}]
    metadata = {"name": service, "annotations": {prefix + name: value for name, value in said.items()}}
    sample.items.append({"kind": "Ingress", "metadata": metadata, "spec": spec})


def route(sample, **timeouts):
    spec = {"rules": [{"backendRefs": [{"name": "socket", "port": 80}], "timeouts": timeouts}]}
    sample.items.append({"kind": "HTTPRoute", "metadata": {"name": "socket"}, "spec": spec})


def gateway_without_tls(sample):
    sample.items.append({"kind": "Gateway", "metadata": {"name": "x"}, "spec": {"listeners": [{"name": "x"}]}})


PLANTED = [
    Planted(
        "a way past the ingress", lambda s: s.the("Service", "socket")["spec"].update(type="NodePort"), "past your ingress"
    ),
    Planted(
        "metrics beside HTTP",
        lambda s: s.the("Service", "ingest")["spec"]["ports"].append({"port": 7709, "targetPort": "operations"}),
        "lead to metrics",
    ),
    Planted("an Ingress to metrics", lambda s: ingress(s, port="operations"), "leads to operations of socket"),
    Planted("an Ingress to dispatch", lambda s: ingress(s, "dispatch"), "leads to http of dispatch"),
    Planted("an Ingress without TLS", lambda s: ingress(s, tls=False), "set tls"),
    Planted("a Gateway without TLS", gateway_without_tls, "give each listener tls"),
    Planted("people who are all one", ingress, "seem to come from the ingress"),
    Planted("nginx that waits too little", lambda s: ingress(s, proxy_read_timeout="30"), "ends sessions that are silent"),
    Planted("nginx that holds events back", lambda s: ingress(s, proxy_buffering="on"), "holds server-sent events back"),
    Planted("nginx that refuses bodies", lambda s: ingress(s, "ingest", proxy_body_size="1m"), "refuses bodies"),
    Planted(
        "HAProxy that waits too little",
        lambda s: ingress(s, kind="haproxy", timeout_tunnel="30s"),
        "ends sessions that are silent",
    ),
    Planted("a route that ends sessions", lambda s: route(s, request="60s", backendRequest="0s"), "time-out `request`"),
]
