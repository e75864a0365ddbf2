"""Prints what compose.yaml and the manifests of Kubernetes say about each node, as JSON: its environment, and how long it may take to stop."""

import json
import re
import sys
from pathlib import Path

import yaml

root = Path(sys.argv[1])
nodes = []

compose = yaml.safe_load((root / "compose.yaml").read_text())
for name, service in compose["services"].items():
    if name.startswith("node"):
        grace = int(service["stop_grace_period"].removesuffix("s"))
        nodes.append({"name": f"compose.yaml {name}", "environment": service["environment"], "grace": grace})

for manifest in yaml.safe_load_all((root / "examples/kubernetes/switchboard.yaml").read_text()):
    if manifest["kind"] != "Deployment":
        continue
    pod = manifest["spec"]["template"]["spec"]
    for container in pod["containers"]:
        grace = pod["terminationGracePeriodSeconds"] - container["lifecycle"]["preStop"]["sleep"]["seconds"]
        environment = {each["name"]: each.get("value", "$") for each in container["env"]}
        nodes.append({"name": f"switchboard.yaml {container['name']}", "environment": environment, "grace": grace})

dockerfile = (root / "Dockerfile").read_text()
environment = dict(re.findall(r"(SWITCHBOARD_\w+)=(\S+)", dockerfile))
nodes.append({"name": "Dockerfile", "environment": environment, "grace": None})
print(json.dumps(nodes))
