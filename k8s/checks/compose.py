"""The compose files: each fits the compose specification; and the fleets that they make, as Compose puts them together, name
only what is there and hold the rules below."""

import copy
import json
import re

import jsonschema
import yaml

from .objects import ROOT, SECRET_KEYS
from .pods import DRAIN_S_MAX, MARGIN_S

BASE = "docker-compose.yml"
# The fleet alone, with the demo, and with real providers.
FLEETS = [[BASE], [BASE, "docker-compose.override.yml"], [BASE, "docker-compose.providers.yml"]]
# Published to this machine alone, and where somebody who has the port in use may choose another one.
PORT = re.compile(r"127\.0\.0\.1:\$\{WATCHBELL_[A-Z_]*PORT:-\d+\}:\d+$")
# Where our processes have their secrets.
SECRETS = "/secrets"


def read(files):
    """The fleet of these files."""
    whole = read_one(files[0])
    for file in files[1:]:
        whole = joined(whole, read_one(file))
    return whole


def read_one(file):
    # As JSON has it: what is written once and named twice becomes two.
    return json.loads(json.dumps(yaml.safe_load((ROOT / file).read_text())))


def joined(under, over):
    """As Compose joins two files: mappings by their keys, volumes by where they are mounted, other values by the last."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {key: joined(under[key], value) if key in under else value for key, value in over.items()}
    if isinstance(under, list) and isinstance(over, list) and all(":/" in str(one) for one in under + over):
        return list(({target_of(one): one for one in under} | {target_of(one): one for one in over}).values())
    return over


def without_variables(text):
    """With the defaults in place of the variables."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


def source_of(mount):
    return without_variables(mount).split(":")[0]


def target_of(mount):
    return without_variables(mount).split(":")[1]


def check_file(file, specification):
    return check_schema(read_one(file), specification)


def check_schema(compose, specification):
    for error in jsonschema.Draft7Validator(specification).iter_errors(compose):
        yield f"{'/'.join(map(str, error.path))}: {error.message}"


def check(fleet):
    yield from check_references(fleet)
    for name, service in fleet["services"].items():
        yield from (f"{name} {what}" for what in check_service(service))
        if service.get("image") == "watchbell":
            yield from (f"{name} {what}" for what in check_process(service))


def check_references(fleet):
    services, volumes = fleet["services"], fleet["volumes"]
    for name, service in services.items():
        if "image" not in service:
            yield f"{name} is changed, and no file says what it is"
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name} depends on {other}, which is no service"
            elif how["condition"] == "service_healthy" and "test" not in services[other].get("healthcheck", {}):
                yield f"{name} waits for {other} to be healthy, and {other} has no healthcheck"
        for mount in service.get("volumes", []):
            source = source_of(mount)
            if not source.startswith("./"):
                if source not in volumes:
                    yield f"{name} mounts {source}, which is no volume"
            # What a variable names is the operator's own.
            elif "${" not in mount and not (ROOT / source).exists():
                yield f"{name} mounts {source}, which is not there"
    mounted = {source_of(mount) for service in services.values() for mount in service.get("volumes", [])}
    yield from (f"nobody mounts the volume {volume}" for volume in volumes.keys() - mounted)


def check_service(service):
    """It has bounds and comes back, and nothing of it is open to the network or secret in a file."""
    if service.get("restart") not in ("unless-stopped", "no"):
        yield "does not come back: set restart, also where it is to run once"
    if "mem_limit" not in service:
        yield "has no memory limit"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "fills the disk with its log: set logging"
    for port in filter(lambda port: not PORT.match(port), service.get("ports", [])):
        yield f"publishes {port}: it must be of 127.0.0.1, and a variable with a default"
    targets = {target_of(mount) for mount in service.get("volumes", [])}
    for key, value in (service.get("environment") or {}).items():
        if SECRET_KEYS.search(key):
            yield f"has {key}, a secret in plain sight: use {key}_FILE"
        if str(value).startswith(f"{SECRETS}/") and SECRETS not in targets:
            yield f"reads {key} from {SECRETS}, and mounts no secrets there"


def check_process(service):
    """One of ours."""
    rights = service.get("read_only"), service.get("cap_drop"), service.get("security_opt")
    if rights != (True, ["ALL"], ["no-new-privileges:true"]):
        yield "may change its image or gain rights: see the other processes"
    if service.get("restart") == "no":
        return
    if int(service.get("stop_grace_period", "10s").rstrip("s")) < DRAIN_S_MAX + MARGIN_S:
        yield f"may be killed while it drains: the grace is at least {DRAIN_S_MAX + MARGIN_S} s"
    if "test" not in service.get("healthcheck", {}):
        yield "is not asked whether it is well"


def unnoticed(specification):
    """Faults that were planted in a copy and not found."""
    fleet = read(FLEETS[1])

    def of_schema(sample):
        return check_schema(sample, specification)

    for why, look, change in [
        ("a misspelt key", of_schema, lambda services: services["ingest"].update(comand=[])),
        ("an unknown dependency", check, lambda services: services["ingest"].update(depends_on={"x": {"condition": "service_started"}})),
        ("a dependency without health", check, lambda services: services["haproxy"].pop("healthcheck")),
        ("an unknown volume", check, lambda services: services["ingest"]["volumes"].append("x:/x")),
        ("a missing file", check, lambda services: services["ingest"]["volumes"].append("./compose/x:/x:ro")),
        ("a service that is only changed", check, lambda services: services["postgres"].pop("image")),
        ("a volume of nobody", check, lambda services: services["postgres"].pop("volumes")),
        ("an open port", check, lambda services: services["haproxy"]["ports"].append("7701:7701")),
        ("a fixed port", check, lambda services: services["haproxy"]["ports"].append("127.0.0.1:7701:7701")),
        ("a plain secret", check, lambda services: services["ingest"]["environment"].update(WATCHBELL__STORE__URL="x")),
        ("an unread secret", check, lambda services: services["dispatch"].pop("volumes")),
        ("no memory limit", check, lambda services: services["rabbitmq"].pop("mem_limit")),
        ("an endless log", check, lambda services: services["postgres"].pop("logging")),
        ("no restart", check, lambda services: services["postgres"].pop("restart")),
        ("a short grace", check, lambda services: services["socket-1"].update(stop_grace_period="20s")),
        ("a writable image", check, lambda services: services["fallback"].update(read_only=False)),
        ("a process that nobody asks", check, lambda services: services["dispatch"].pop("healthcheck")),
    ]:
        sample = copy.deepcopy(fleet)
        change(sample["services"])
        if not list(look(sample)):
            yield f"in compose, {why} goes unnoticed"
