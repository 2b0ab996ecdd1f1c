"""Renders the chart by Helm itself, as a library, with the values that say the same as each component of kustomize."""

import functools

import helm_python
import yaml

from render import LOADER, read

from . import variants
from .objects import K8S

Refused = helm_python.HelmError
CHART = K8S / "chart"
JWKS = {
    "signIn": {
        "jwksUrl": "https://login.example.com/.well-known/jwks.json",
        "issuer": "https://login.example.com",
        "audience": "watchbell",
    }
}
# Values that say the same as each component.
VALUES = {
    "bounces": {"bounces": {"domain": "bounces.example.com"}},
    "gateway": {"gateway": {"enabled": True}},
    "ingress-haproxy": {"ingress": {"enabled": True, "className": "haproxy"}},
    "ingress-nginx": {"ingress": {"enabled": True}},
    "jwks": JWKS,
    "keda": {"keda": {"enabled": True}},
    "monitoring": {"monitoring": {"enabled": True}},
    "previous-secret": {"signIn": {"previousSecret": True}},
    "tracing": {"tracing": {"endpoint": "http://collector.observability:4318"}},
    "sessions": {"workers": {"socket": {"autoscaling": {"sessions": 20_000}}}},
}


def pairs():
    """Each set of components, and the values that say the same."""
    yield [], {}
    for component in variants.components():
        yield [component], VALUES[component]
    yield variants.TOGETHER, functools.reduce(lambda all_of, name: all_of | VALUES[name], variants.TOGETHER, {})


def rendered(values, kubeconfig=None):
    """The objects of the chart with these values, those of hooks too; with a cluster, what it looks up there."""
    named = {"name": "any-name", "namespace": "watchbell"}
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(production() | values)
        if kubeconfig is None:
            files = chart.render(production() | values, **named)
        else:
            with helm_python.Config(kubeconfig_content=kubeconfig, namespace="watchbell") as config:
                files = config.render(chart, production() | values, **named)
    return [item for file, text in files.items() if file.endswith(".yaml") for item in yaml.load_all(text, LOADER) if item]


def released():
    """The objects that Helm makes when no hook is run, by what a dry run of an installation says."""
    with (
        helm_python.Chart.load(CHART) as chart,
        helm_python.Config(namespace="watchbell", storage_driver="memory") as config,
    ):
        release = config.install(chart, "any-name", values=production(), namespace="watchbell", dry_run="client")
    return [item for item in yaml.load_all(release["manifest"], LOADER) if item]


@functools.cache
def production():
    """What the overlay `production` says of the installation itself, as values."""
    of_overlay = {item["metadata"]["name"]: item["data"] for item in read(K8S / "overlays/production/providers.yaml")}
    return {"public": of_overlay["watchbell-public"], "providers": of_overlay["watchbell-providers"]}


def lint_errors():
    return helm_python.lint(CHART, production())["errors"]
