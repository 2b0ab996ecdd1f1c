"""The compose file fits the specification, and what a service names is defined."""

import copy

import jsonschema

from .objects import ROOT, SECRET_KEYS


def check(compose, schema):
    for error in jsonschema.Draft7Validator(schema).iter_errors(compose):
        yield f"{'/'.join(map(str, error.path))}: {error.message}"
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name} depends on {other}, which is no service"
            elif how["condition"] == "service_healthy" and "test" not in services[other].get("healthcheck", {}):
                yield f"{name} waits for {other} to be healthy, and {other} has no healthcheck"
        for secret in service.get("secrets", []):
            secret = secret["source"] if isinstance(secret, dict) else secret
            if secret not in compose["secrets"]:
                yield f"{name} reads the secret {secret}, which is not defined"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith((".", "/")) and source not in compose["volumes"]:
                yield f"{name} mounts {source}, which is no volume"
        for key, value in (service.get("environment") or {}).items():
            secret = str(value).removeprefix("/run/secrets/")
            if SECRET_KEYS.search(key):
                yield f"{name}: {key} is a secret in plain sight: use {key}_FILE"
            if secret != str(value) and secret not in service.get("secrets", []):
                yield f"{name}: {key} names the secret {secret}, which the service does not read"
    for name, secret in compose["secrets"].items():
        if not (ROOT / secret["file"]).is_file():
            yield f"the secret {name} is the file {secret['file']}, which is not there"


def unnoticed(compose, schema):
    """Faults that were planted in a copy and not found."""
    for why, change in [
        ("a misspelt key", lambda c: c["services"]["ingest"].update(comand=[])),
        (
            "an unknown dependency",
            lambda c: c["services"]["ingest"].update(depends_on={"x": {"condition": "service_started"}}),
        ),
        ("an unread secret", lambda c: c["services"]["ingest"].update(secrets=[])),
        ("a missing secret file", lambda c: c["secrets"].update({"broker-url": {"file": "gone"}})),
    ]:
        sample = copy.deepcopy(compose)
        change(sample)
        if not list(check(sample, schema)):
            yield f"in compose, {why} goes unnoticed"
