#!/usr/bin/env python3
"""Writes the recording and alert rules of `monitoring/rules/*.yml` into the forms that Kubernetes needs.

    python3 k8s/rules.py           writes them
    python3 k8s/rules.py --check   says which are not as they would be written; k8s/check.sh asks the same

A PrometheusRule for kustomize, and a file that the Helm chart reads. The rules themselves are changed in `monitoring/rules`
alone. It needs PyYAML.
"""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "monitoring" / "rules"
OBJECT = "k8s/components/monitoring/prometheusrule.yaml"
OF_THE_CHART = "k8s/chart/files/rules.yaml"
NOTE = "# Made from monitoring/rules by k8s/rules.py: change the rules there.\n"


def groups(folder=RULES):
    """The groups of every file, by the order of the files' names."""
    found = []
    for file in sorted(folder.glob("*.yml")):
        found += yaml.safe_load(file.read_text())["groups"]
    names = [group["name"] for group in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{folder}: two groups have the name {', '.join(sorted(twice))}")
    return found


def expected():
    """The groups that both files have to hold: those of `monitoring/rules`, from the first time on that they were written."""
    return groups() if is_written() else []


def is_written():
    return bool(yaml.safe_load((ROOT / OBJECT).read_text())["spec"]["groups"])


def generated(found):
    """What each file has to hold, by its path."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "watchbell", "labels": {"app.kubernetes.io/name": "watchbell"}},
        "spec": {"groups": found},
    }
    return {OBJECT: NOTE + written(rule), OF_THE_CHART: NOTE + written({"groups": found})}


def written(value):
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def stale(found, root=ROOT):
    """The files that do not hold what they have to."""
    for path, text in generated(found).items():
        if not (root / path).is_file() or (root / path).read_text() != text:
            yield f"{path} is not made from monitoring/rules as it is: run python3 k8s/rules.py"


def main(arguments):
    if arguments == ["--check"]:
        sys.exit("\n".join(stale(groups())))
    if arguments:
        sys.exit(__doc__)
    for path, text in generated(groups()).items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
