"""Each secret is with the one worker that needs it, and users' tokens are believed for one reason."""

from .objects import Planted, name_of, our_pods

# Which worker may mount which Secret. `watchbell` has the addresses of broker and store, which all need.
MAY_MOUNT = {
    "watchbell": {"ingest", "dispatch", "socket", "fallback", "setup"},
    "watchbell-auth": {"socket"},
    "watchbell-links": {"socket", "fallback"},
    "watchbell-providers": {"fallback"},
}
# What makes `socket` believe a token. With two of them, whoever has the weaker one can sign for everybody.
BELIEVED_BY = ["WATCHBELL__AUTH__HS256_SECRET_FILE", "WATCHBELL__AUTH__PUBLIC_KEY_FILES", "WATCHBELL__AUTH__JWKS_URL"]


def check(items):
    for item, pod in our_pods(items):
        for volume in pod.get("volumes", []):
            if "secret" not in volume:
                continue
            secret = volume["secret"]["secretName"]
            if item["metadata"]["name"] not in MAY_MOUNT.get(secret, {}):
                yield f"{name_of(item)}: mounts the Secret {secret}, and has no business with it"
            if volume["secret"].get("defaultMode", 0o644) & 0o007:
                yield f"{name_of(item)}: {volume['name']} is for every user of its container to read: set defaultMode to 0440"
        if item["metadata"]["name"] == "socket":
            yield from (f"{name_of(item)}: {what}" for what in check_tokens(settings_of(pod["containers"][0], items)))


def check_tokens(settings):
    reasons = [name for name in BELIEVED_BY if name in settings]
    if len(reasons) != 1:
        yield f"believes tokens by {' and '.join(reasons) or 'nothing'}: there is to be one of {', '.join(BELIEVED_BY)}"
    if (
        "WATCHBELL__AUTH__JWKS_URL" in reasons
        and not {"WATCHBELL__AUTH__ISSUER", "WATCHBELL__AUTH__AUDIENCE"} <= settings.keys()
    ):
        yield "believes every token of its sign-in service, also those for others: set issuer and audience"


def settings_of(container, items):
    """What the container is given in its environment, by name."""
    settings = {}
    for source in container.get("envFrom", []):
        for item in items:
            if item["kind"] == "ConfigMap" and item["metadata"]["name"] == source["configMapRef"]["name"]:
                settings |= item["data"]
    return settings | {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def mount(sample, worker, secret):
    sample.pod(worker)["volumes"].append({"name": "x", "secret": {"secretName": secret, "defaultMode": 0o440}})


def config(sample):
    return sample.the("ConfigMap", "watchbell")["data"]


JWKS = {"WATCHBELL__AUTH__JWKS_URL": "https://login.example.com/keys"}
PLANTED = [
    Planted("providers' keys at socket", lambda s: mount(s, "socket", "watchbell-providers"), "no business"),
    Planted("tokens' key at fallback", lambda s: mount(s, "fallback", "watchbell-auth"), "no business"),
    Planted("a secret for all users", lambda s: s.pod()["volumes"][0]["secret"].update(defaultMode=0o444), "every user"),
    Planted("tokens that nobody can check", lambda s: s.container()["env"].pop(0), "by nothing"),
    Planted("a second way to sign", lambda s: config(s).update(JWKS), "HS256_SECRET_FILE and WATCHBELL__AUTH__JWKS_URL"),
    Planted("tokens for others", lambda s: (config(s).update(JWKS), s.container()["env"].pop(0)), "set issuer and audience"),
]
