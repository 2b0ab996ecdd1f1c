"""Every worker, and the Job before them, says who reaches it and what it reaches."""

from urllib.parse import urlsplit

from .objects import HTTP, OPERATIONS, WORKERS, Planted, labels_of_pod, our_pods

# Who has to be reached from outside the cluster; and who reaches any address of the public internet.
PUBLIC, REACHES_OUT = {"ingest", "socket"}, {"fallback"}
# DNS, RabbitMQ and PostgreSQL.
NEEDED_BY_ALL = {53, 5672, 5432}
PRIVATE = {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"}


def check(items):
    policies = [item["spec"] for item in items if item["kind"] == "NetworkPolicy"]
    collector, mail = port_of_collector(items), port_of_mail(items)
    for item, _ in our_pods(items):
        worker, labels = item["metadata"]["name"], labels_of_pod(item)
        own = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= labels.items()]
        if len(own) != 1:
            yield f"{worker} has {len(own)} NetworkPolicies, and needs one"
        else:
            yield from (f"NetworkPolicy of {worker}: {what}" for what in check_policy(worker, own[0], mail))
            if mail and worker == "fallback" and mail not in ports(own[0].get("ingress", [])):
                yield f"NetworkPolicy of {worker}: must let mail servers in ({mail})"
            if collector and worker in WORKERS and collector not in ports(own[0].get("egress", [])):
                yield f"NetworkPolicy of {worker}: must let it reach the collector of traces ({collector})"


def port_of_collector(items):
    """Where spans are sent to, if they are."""
    settings = [item.get("data", {}) for item in items if item["kind"] == "ConfigMap"]
    named = [one["WATCHBELL__TRACING__ENDPOINT"] for one in settings if "WATCHBELL__TRACING__ENDPOINT" in one]
    return urlsplit(named[0]).port if named else None


def port_of_mail(items):
    """Where mails that come back are taken, if they are."""
    settings = [item.get("data", {}) for item in items if item["kind"] == "ConfigMap"]
    named = [one["WATCHBELL__EMAIL__BOUNCE_LISTEN"] for one in settings if "WATCHBELL__EMAIL__BOUNCE_LISTEN" in one]
    return int(named[0].rsplit(":", 1)[1]) if named else None


def check_policy(worker, policy, mail):
    if set(policy.get("policyTypes", [])) != {"Ingress", "Egress"}:
        yield "must name both Ingress and Egress: what it does not name is open"
    into, out = policy.get("ingress", []), policy.get("egress", [])
    if worker in WORKERS and not {HTTP, OPERATIONS} <= ports(into):
        yield f"must let HTTP ({HTTP}) and probes and metrics ({OPERATIONS}) in"
    if worker not in WORKERS and into:
        yield "serves nobody, so nobody may reach it"
    for rule in into:
        may = {HTTP} if worker in PUBLIC else {mail} if worker == "fallback" and mail else set()
        if "from" not in rule and not (rule.get("ports") and ports([rule]) <= may):
            yield f"is open to everybody on {sorted(ports([rule])) or 'every port'}"
    if not NEEDED_BY_ALL <= ports(out):
        yield f"must let it reach {sorted(NEEDED_BY_ALL - ports(out))}"
    for rule in out:
        if rule.get("ports"):
            continue
        blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
        kept_out = {net for block in blocks for net in block.get("except", [])}
        if worker not in REACHES_OUT or len(blocks) != len(rule.get("to", [])) or not blocks or not PRIVATE <= kept_out:
            yield "reaches every port of addresses that it has no business with"


def ports(rules):
    return {port["port"] for rule in rules for port in rule.get("ports", [])}


def policy(sample, worker):
    return sample.the("NetworkPolicy", worker)["spec"]


EVERYBODY = {"ports": [{"protocol": "TCP", "port": OPERATIONS}]}
PLANTED = [
    Planted("a worker without a NetworkPolicy", lambda s: s.remove("NetworkPolicy", "dispatch"), "dispatch has 0"),
    Planted("egress left open", lambda s: policy(s, "socket")["policyTypes"].pop(), "name both"),
    Planted("probes shut out", lambda s: policy(s, "ingest")["ingress"].pop(), "probes and metrics"),
    Planted("a Job that is reached", lambda s: policy(s, "setup").update(ingress=[EVERYBODY]), "serves nobody"),
    Planted("metrics for everybody", lambda s: policy(s, "socket")["ingress"].append(EVERYBODY), "open to everybody"),
    Planted("dispatch for everybody", lambda s: policy(s, "dispatch")["ingress"][0].pop("from"), "open to everybody"),
    Planted("no way to the store", lambda s: policy(s, "ingest")["egress"].pop(), "must let it reach"),
    Planted(
        "no way to the collector",
        lambda s: s.the("ConfigMap", "watchbell")["data"].update(WATCHBELL__TRACING__ENDPOINT="http://elsewhere:4317"),
        "the collector of traces (4317)",
    ),
    Planted(
        "no way in for mails that come back",
        lambda s: s.the("ConfigMap", "watchbell-providers")["data"].update(WATCHBELL__EMAIL__BOUNCE_LISTEN="0.0.0.0:2526"),
        "must let mail servers in (2526)",
    ),
    Planted(
        "a way into the network",
        lambda s: next(rule for rule in policy(s, "fallback")["egress"] if "to" in rule)["to"][0]["ipBlock"]["except"].clear(),
        "no business with",
    ),
]
