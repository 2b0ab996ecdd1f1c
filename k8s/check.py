"""Checks the deployment files; check.sh gives it its libraries.

For every overlay: it renders, as kubectl does where kubectl is; every object fits Kubernetes' own schema; and
the rules below hold. For docker-compose.yml: it fits the compose specification and its references resolve.
Each rule has a bad sample at the end of this file that it must find, tried at every run.
"""

import copy
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from render import render

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "release"))
from pin import pinned, without_digest
# The oldest and the newest we say we run on: native sidecars (overlay local) came with 1.29.
VERSIONS = ["1.29", "1.37"]
# docs/architecture.md, "What must stay true", I10: what a worker may take to leave, and what it takes to hear of it and exit.
DRAIN_S_MAX, MARGIN_S = 25, 10
WORKERS = ["ingest", "dispatch", "socket", "fallback"]
# Who has to be reached from outside the cluster; and who reaches any address of the public internet.
PUBLIC, REACHES_OUT = {"ingest", "socket"}, {"fallback"}
# Of every worker: HTTP, and probes and metrics.
HTTP, OPERATIONS = 7700, 7709
# DNS, RabbitMQ and PostgreSQL.
NEEDED_BY_ALL = {53, 5672, 5432}
PRIVATE = {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"}
SECRET_KEYS = re.compile(r"(__URL|_SECRET|__KEY|_ACCOUNT|_USERNAME|_PASSWORD)$")
problems = []


def problem(place, what):
    problems.append(f"{place}: {what}")


def pod_of(item):
    return item["spec"]["template"]["spec"] if item["kind"] in ("Deployment", "Job") else None


def is_ours(container):
    return container["image"].split("@")[0].split(":")[0] == "watchbell"


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def check_pods(place, items):
    """Ours run as nobody, on a read-only disk, with bounds, and are asked whether they are well."""
    for item in items:
        pod, name = pod_of(item), f"{place} {item['kind']}/{item['metadata']['name']}"
        if pod is None or not any(map(is_ours, containers(pod))):
            continue
        if not pod.get("securityContext", {}).get("runAsNonRoot"):
            problem(name, "runs as root: set securityContext.runAsNonRoot")
        for container in filter(is_ours, containers(pod)):
            security = container.get("securityContext", {})
            if not security.get("readOnlyRootFilesystem") or security.get("allowPrivilegeEscalation") is not False:
                problem(name, f"{container['name']} may change its image or gain rights: see the other workers' securityContext")
            resources = container.get("resources", {})
            if not resources.get("requests") or "memory" not in resources.get("limits", {}):
                problem(name, f"{container['name']} has no resource requests or memory limit")
            for entry in container.get("env", []):
                if SECRET_KEYS.search(entry["name"]):
                    problem(name, f"{entry['name']} is a secret in plain sight: use {entry['name']}_FILE and a Secret")
        if item["kind"] == "Deployment":
            for probe, path in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]:
                asked = pod["containers"][0].get(probe, {}).get("httpGet", {})
                if asked.get("path") != path:
                    problem(name, f"its {probe} does not ask {path}")
                if asked.get("port") != "operations":
                    problem(name, f"its {probe} waits behind users: ask the port `operations`")
            if pod.get("terminationGracePeriodSeconds", 30) < DRAIN_S_MAX + MARGIN_S:
                problem(name, f"may be killed while it drains: the grace is at least {DRAIN_S_MAX + MARGIN_S} s")
            waits = [c for c in pod.get("initContainers", []) if c.get("args", [])[:2] == ["migrate", "--check"]]
            if item["metadata"]["name"] in WORKERS and not waits:
                problem(name, "may start before the schema is there: see the other workers' init container")
            if not pod.get("topologySpreadConstraints"):
                problem(name, "may run all on one node: set topologySpreadConstraints")


def check_references(place, items):
    """What is named is there, and every worker has what a worker has."""
    there = {(item["kind"], item["metadata"]["name"]) for item in items}
    made_beforehand = {("Secret", "watchbell"), ("Secret", "watchbell-auth"), ("Secret", "watchbell-links"), ("Secret", "watchbell-providers")}
    for worker in WORKERS:
        for kind in ["Deployment", "Service", "PodDisruptionBudget"]:
            if (kind, worker) not in there:
                problem(place, f"{worker} has no {kind}")
    for item in items:
        name = f"{place} {item['kind']}/{item['metadata']['name']}"
        if item["kind"] == "HorizontalPodAutoscaler":
            target = item["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) not in there:
                problem(name, f"scales {target['name']}, which is not there")
        if item["kind"] == "ConfigMap":
            for key in item["data"]:
                if SECRET_KEYS.search(key):
                    problem(name, f"{key} is a secret in plain sight: use {key}_FILE and a Secret")
        pod = pod_of(item)
        if pod is None:
            continue
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for volume in pod.get("volumes", []):
            if (secret := volume.get("secret")) and ("Secret", secret["secretName"]) not in there | made_beforehand:
                problem(name, f"mounts the Secret {secret['secretName']}, which nobody makes")
        for container in containers(pod):
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in there:
                    problem(name, f"reads the ConfigMap {source['configMapRef']['name']}, which is not there")
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    problem(name, f"{container['name']} mounts {mount['name']}, which is no volume of its pod")
    check_selectors(place, items)


def check_selectors(place, items):
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in items if item["kind"] == "Deployment"]
    for item in items:
        selector = {
            "Service": lambda: item["spec"]["selector"],
            "PodDisruptionBudget": lambda: item["spec"]["selector"]["matchLabels"],
            "Deployment": lambda: item["spec"]["selector"]["matchLabels"],
        }.get(item["kind"], dict)()
        if selector and sum(selector.items() <= labels.items() for labels in pods) != 1:
            problem(f"{place} {item['kind']}/{item['metadata']['name']}", f"selects not exactly one worker: {selector}")


def check_network(place, items):
    """Every worker, and the Job before them, says who reaches it and what it reaches."""
    policies = [item for item in items if item["kind"] == "NetworkPolicy"]
    for item in items:
        pod, worker = pod_of(item), item["metadata"]["name"]
        if pod is None or not any(map(is_ours, containers(pod))):
            continue
        labels = item["spec"]["template"]["metadata"]["labels"]
        own = [p["spec"] for p in policies if p["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        if len(own) != 1:
            problem(place, f"{worker} has {len(own)} NetworkPolicies, and needs one")
            continue
        check_policy(f"{place} NetworkPolicy of {worker}", worker, own[0])


def check_policy(name, worker, policy):
    if set(policy.get("policyTypes", [])) != {"Ingress", "Egress"}:
        problem(name, "must name both Ingress and Egress: what it does not name is open")
    into, out = policy.get("ingress", []), policy.get("egress", [])

    def ports(rules):
        return {port["port"] for rule in rules for port in rule.get("ports", [])}

    if worker in WORKERS and not {HTTP, OPERATIONS} <= ports(into):
        problem(name, f"must let HTTP ({HTTP}) and probes and metrics ({OPERATIONS}) in")
    if worker not in WORKERS and into:
        problem(name, "serves nobody, so nobody may reach it")
    for rule in into:
        may = {HTTP} if worker in PUBLIC else set()
        if "from" not in rule and not (rule.get("ports") and ports([rule]) <= may):
            problem(name, f"is open to everybody on {sorted(ports([rule])) or 'every port'}")
    if not NEEDED_BY_ALL <= ports(out):
        problem(name, f"must let it reach {sorted(NEEDED_BY_ALL - ports(out))}")
    for rule in out:
        if rule.get("ports"):
            continue
        blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
        kept_out = {net for block in blocks for net in block.get("except", [])}
        if worker not in REACHES_OUT or len(blocks) != len(rule.get("to", [])) or not blocks or not PRIVATE <= kept_out:
            problem(name, "reaches every port of addresses that it has no business with")


def check_schema(place, items):
    for item in items:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except Exception as error:
                where = "/".join(map(str, getattr(error, "path", [])))
                said = getattr(error, "message", error)
                problem(f"{place} {item['kind']}/{item['metadata']['name']}", f"Kubernetes {version}: {where}: {said}")


def check_same_as_kubectl(place, folder, items):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return False
    rendered = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    if rendered.returncode != 0:
        problem(place, f"kubectl kustomize: {rendered.stderr.strip()}")
        return True
    def key(item):
        return item["kind"], item["metadata"]["name"]
    theirs, ours = ({key(item): item for item in side} for side in (yaml.safe_load_all(rendered.stdout), items))
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            problem(f"{place} {'/'.join(name)}", "render.py and kubectl kustomize differ")
    return True


def check_compose(compose, schema):
    """The compose file fits the specification, and what a service names is defined."""
    place = "docker-compose.yml"
    for error in jsonschema.Draft7Validator(schema).iter_errors(compose):
        problem(place, f"{'/'.join(map(str, error.path))}: {error.message}")
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                problem(place, f"{name} depends on {other}, which is no service")
            elif how["condition"] == "service_healthy" and "test" not in services[other].get("healthcheck", {}):
                problem(place, f"{name} waits for {other} to be healthy, and {other} has no healthcheck")
        for secret in service.get("secrets", []):
            secret = secret["source"] if isinstance(secret, dict) else secret
            if secret not in compose["secrets"]:
                problem(place, f"{name} reads the secret {secret}, which is not defined")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith((".", "/")) and source not in compose["volumes"]:
                problem(place, f"{name} mounts {source}, which is no volume")
        for key, value in (service.get("environment") or {}).items():
            secret = str(value).removeprefix("/run/secrets/")
            if SECRET_KEYS.search(key):
                problem(place, f"{name}: {key} is a secret in plain sight: use {key}_FILE")
            if secret != str(value) and secret not in service.get("secrets", []):
                problem(place, f"{name}: {key} names the secret {secret}, which the service does not read")
    for name, secret in compose["secrets"].items():
        if not (HERE.parent / secret["file"]).is_file():
            problem(place, f"the secret {name} is the file {secret['file']}, which is not there")


def found(check, *args):
    """What `check` finds in a sample, without keeping it."""
    before = len(problems)
    check(*args)
    new = problems[before:]
    del problems[before:]
    return new


def check_the_checks(items, compose, schema):
    """Breaks one thing after the other in what was rendered: the check that is for it has to notice."""
    def with_change(change):
        sample = copy.deepcopy(items)
        socket = next(i for i in sample if i["kind"] == "Deployment" and i["metadata"]["name"] == "socket")
        change(sample, socket, socket["spec"]["template"]["spec"])
        return sample

    plain = {"name": "WATCHBELL__AUTH__HS256_SECRET", "value": "x"}
    for why, check, change in [
        ("a root user", check_pods, lambda _, __, pod: pod["securityContext"].pop("runAsNonRoot")),
        ("a short grace", check_pods, lambda _, __, pod: pod.update(terminationGracePeriodSeconds=30)),
        ("no readiness", check_pods, lambda _, __, pod: pod["containers"][0].pop("readinessProbe")),
        ("no wait for the schema", check_pods, lambda _, __, pod: pod.pop("initContainers")),
        ("no memory limit", check_pods, lambda _, __, pod: pod["containers"][0]["resources"].pop("limits")),
        ("a plain secret", check_pods, lambda _, __, pod: pod["containers"][0].update(env=[plain])),
        ("a missing worker", check_references, lambda sample, socket, _: sample.remove(socket)),
        ("a missing volume", check_references, lambda _, __, pod: pod.pop("volumes")),
        ("a wrong selector", check_references, lambda _, socket, __: socket["spec"]["selector"]["matchLabels"].clear() or
            socket["spec"]["template"]["metadata"]["labels"].update({"app.kubernetes.io/component": "ingest"})),
        ("a worker without a NetworkPolicy", check_network, lambda sample, *_: sample.remove(policy_in(sample, "dispatch"))),
        ("metrics for everybody", check_network, lambda sample, *_: policy_in(sample, "socket")["spec"]["ingress"].append(
            {"ports": [{"protocol": "TCP", "port": OPERATIONS}]})),
        ("dispatch for everybody", check_network, lambda sample, *_: policy_in(sample, "dispatch")["spec"]["ingress"][0].pop("from")),
        ("probes shut out", check_network, lambda sample, *_: policy_in(sample, "ingest")["spec"]["ingress"].pop()),
        ("no way to the store", check_network, lambda sample, *_: policy_in(sample, "ingest")["spec"]["egress"].pop()),
        ("a way into the network", check_network, lambda sample, *_: policy_in(sample, "fallback")["spec"]["egress"][-1]["to"][0]["ipBlock"]["except"].clear()),
        ("egress left open", check_network, lambda sample, *_: policy_in(sample, "socket")["spec"]["policyTypes"].pop()),
        ("a misspelt field", check_schema, lambda _, __, pod: pod.update(terminationGraceSeconds=45)),
        ("a wrong type", check_schema, lambda _, __, pod: pod["containers"][0].update(args="run")),
    ]:
        if not found(check, "sample", with_change(change)):
            problem("check.py", f"{why} goes unnoticed")
    check_the_pin(items)
    for why, change in [
        ("a misspelt key", lambda c: c["services"]["ingest"].update(comand=[])),
        ("an unknown dependency", lambda c: c["services"]["ingest"].update(depends_on={"x": {"condition": "service_started"}})),
        ("an unread secret", lambda c: c["services"]["ingest"].update(secrets=[])),
        ("a missing secret file", lambda c: c["secrets"].update({"broker-url": {"file": "gone"}})),
    ]:
        sample = json.loads(json.dumps(compose))
        change(sample)
        if not found(check_compose, sample, schema):
            problem("check.py", f"in compose, {why} goes unnoticed")


def policy_in(items, worker):
    return next(i for i in items if i["kind"] == "NetworkPolicy" and i["metadata"]["name"] == worker)


def check_the_pin(items):
    """The check of a release finds every image without a digest, and the pin gives each of ours one."""
    ours = sum(len(containers(pod)) for item in items if (pod := pod_of(item)) and any(map(is_ours, containers(pod))))
    if len(list(without_digest(items))) < ours:
        problem("release/pin.py", "a tag without a digest goes unnoticed")
    folder = HERE / "overlays" / "production"
    digest = "sha256:" + "0123456789abcdef" * 4
    with tempfile.TemporaryDirectory() as copy_of:
        shutil.copytree(HERE, Path(copy_of) / "k8s")
        file = Path(copy_of) / "k8s" / folder.relative_to(HERE) / "kustomization.yaml"
        file.write_text(pinned(file.read_text(), f"registry.example.com:5000/team/watchbell@{digest}"))
        for open_one in without_digest(render(file.parent)):
            problem("release/pin.py", f"leaves {open_one}")
    for image in ["watchbell:0.1.0", "watchbell@sha256:0", f"watchbell@{digest}0", f"-x@{digest}", f"a b@{digest}"]:
        try:
            pinned((folder / "kustomization.yaml").read_text(), image)
            problem("release/pin.py", f"takes {image} for an image with a digest")
        except ValueError:
            pass


def main(compose_schema):
    compared = False
    for overlay in sorted((HERE / "overlays").iterdir()):
        place = f"k8s/overlays/{overlay.name}"
        items = json.loads(json.dumps(render(overlay)))
        for check in (check_pods, check_references, check_network, check_schema):
            check(place, items)
        compared = check_same_as_kubectl(place, overlay, items)
        print(f"{place}: {len(items)} objects")
    compose = yaml.safe_load((HERE.parent / "docker-compose.yml").read_text())
    schema = json.loads(Path(compose_schema).read_text())
    check_compose(compose, schema)
    check_the_checks(items, compose, schema)
    print(f"docker-compose.yml: {len(compose['services'])} services")
    print("rendered as kubectl does" if compared else "kubectl is not here: rendered by render.py alone")
    if problems:
        sys.exit("\n".join(problems))


main(sys.argv[1])
