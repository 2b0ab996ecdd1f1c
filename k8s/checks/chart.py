"""The Helm chart: equal to kustomize, a Job before every version, images by digest, and no value that is misspelt."""

import json

from render import render

from . import drift, helm, rolls, variants
from .objects import SECRET_KEYS, Sample, containers, name_of, our_pods
from .pins import DIGEST

# What an operator may say of any installation.
OF_AN_OPERATOR = {
    "image": {
        "repository": "registry.example.com:5000/team/watchbell",
        "digest": DIGEST,
        "pullSecrets": [{"name": "registry"}],
    },
    "config": {"WATCHBELL__LOG__FILTER": "debug"},
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
    "priorityClassName": "important",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "only-watchbell", "operator": "Exists"}],
}


def check(findings):
    """What is wrong with the chart. `findings` holds objects to the rules that kustomize's are held to."""
    production_alone = helm.rendered({})
    for names, values in helm.pairs():
        with variants.folder(names) as folder:
            of_kustomize = json.loads(json.dumps(render(folder)))
        yield from (f"with {names}: {what}" for what in drift.differences(of_kustomize, helm.rendered(values)))
        if not names:
            yield from rolls.check_helm(of_kustomize, lambda kubeconfig: helm.rendered({}, kubeconfig))
            yield from unnoticed(of_kustomize, production_alone)
    yield from findings(helm.rendered(OF_AN_OPERATOR))
    yield from check_hooks(production_alone)
    if by_helm := [name_of(item) for item in helm.released() if "setup" in item["metadata"]["name"]]:
        yield f"Helm takes {', '.join(by_helm)} for parts of the release, and they are to be hooks"
    yield from check_image(helm.rendered(OF_AN_OPERATOR))
    yield from (f"helm lint: {message}" for message in helm.lint_errors())
    yield from wrongly_accepted()
    forbidden = json.loads((helm.CHART / "values.schema.json").read_text())["definitions"]["settings"]["propertyNames"][
        "not"
    ]
    if forbidden["pattern"] != SECRET_KEYS.pattern:
        yield f"values.schema.json has another idea of what is a secret than checks/objects.py: {SECRET_KEYS.pattern}"


def check_hooks(items):
    """The Job `setup` runs before every version, after what it needs is there."""
    weights = {}
    for item in items:
        notes = item["metadata"].get("annotations", {})
        if "setup" in item["metadata"]["name"]:
            if notes.get("helm.sh/hook") != "pre-install,pre-upgrade":
                yield f"{name_of(item)} is not there before the workers of a new version: it is a hook before install and upgrade"
            if "before-hook-creation" not in notes.get("helm.sh/hook-delete-policy", ""):
                yield f"{name_of(item)} is in the way of the next version's: its hook-delete-policy is before-hook-creation"
            weights[name_of(item)] = int(notes.get("helm.sh/hook-weight", "0"))
    job = weights.pop("Job/setup")
    yield from (f"{name} comes after the Job that needs it" for name, weight in weights.items() if weight >= job)


def check_image(items):
    for item, pod in our_pods(items):
        for container in containers(pod):
            if container["image"] != f"registry.example.com:5000/team/watchbell@{DIGEST}":
                yield f"{name_of(item)}: {container['name']} runs {container['image']}, and not the digest that was given"


def wrongly_accepted():
    """Values that the chart must refuse."""
    for why, values in [
        ("a misspelt value", {"imagee": {}}),
        ("a misspelt value in a worker", {"workers": {"socket": {"replica": 3}}}),
        ("the latest image", {"image": {"tag": "latest"}}),
        ("a digest that is none", {"image": {"digest": "sha256:0"}}),
        ("a setting that is none", {"config": {"LOG_LEVEL": "debug"}}),
        ("a secret among settings", {"providers": {"WATCHBELL__EMAIL__PASSWORD": "x"}}),
        ("keys over plain HTTP", {"signIn": {**helm.JWKS["signIn"], "jwksUrl": "http://login.example.com/keys"}}),
        ("keys for any audience", {"signIn": {**helm.JWKS["signIn"], "audience": ""}}),
    ]:
        try:
            helm.rendered(values)
            yield f"accepts {why}"
        except helm.Refused:
            pass


def unnoticed(kustomize, chart):
    """Drift and faults that were planted in a copy of what was rendered, and not found."""

    def planted(why, change, find):
        sample = Sample(chart)
        change(sample)
        if not list(find(sample.items)):
            yield f"checks.chart: {why} goes unnoticed"

    def drifted(items):
        return drift.differences(kustomize, items)

    def notes(sample, kind="Job"):
        return sample.the(kind, "setup")["metadata"]["annotations"]

    yield from planted("an object less", lambda s: s.remove("NetworkPolicy", "socket"), drifted)
    yield from planted("an object more", lambda s: s.items.append({"kind": "Secret", "metadata": {"name": "x"}}), drifted)
    yield from planted("another number", lambda s: s.pod().update(terminationGracePeriodSeconds=60), drifted)
    yield from planted("a setting less", lambda s: s.container()["env"].pop(), drifted)
    yield from planted(
        "other settings of the hook", lambda s: s.the("ConfigMap", drift.SETTINGS_OF_THE_HOOK)["data"].clear(), drifted
    )
    yield from planted("a Job after its workers", lambda s: notes(s).update({"helm.sh/hook": "post-install"}), check_hooks)
    yield from planted("a Job that stays in the way", lambda s: notes(s).pop("helm.sh/hook-delete-policy"), check_hooks)
    yield from planted(
        "a Job before its account", lambda s: notes(s, "ServiceAccount").update({"helm.sh/hook-weight": "1"}), check_hooks
    )
