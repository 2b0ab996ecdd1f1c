// Checks objects of kinds that are not Kubernetes' own: of the Prometheus operator, KEDA and the Gateway API.
//
//     node custom_schema.mjs NODE_MODULES < objects.json
//
// Prints a line for each thing that is wrong. The packages have a compiled validator for each kind, which knows types and what
// is required, and says nothing of fields that it does not know. It reads every field that it knows, so a field that was
// never read while it ran is an unknown one.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** Where each API group's validators are, and how their names begin. */
const GROUPS = {
  "monitoring.coreos.com/v1": ["prometheus-operator", "ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1"],
  "keda.sh/v1alpha1": ["keda", "ComGithubKedacoreKedaV2ApisKedaV1alpha1"],
  "gateway.networking.k8s.io/v1": ["gateway-api", "IoK8sSigsGatewayApiApisV1"],
};

/** The value, and in `unread` the path of each of its fields until somebody reads it. */
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((entry, at) => watched(entry, `${path}/${at}`, unread));
  const fields = {};
  for (const [name, field] of Object.entries(value)) {
    unread.add(`${path}/${name}`);
    fields[name] = watched(field, `${path}/${name}`, unread);
  }
  return new Proxy(fields, {
    get(target, name) {
      unread.delete(`${path}/${String(name)}`);
      return target[name];
    },
  });
}

async function findings(item, modules) {
  if (!(item.apiVersion in GROUPS)) return [`${item.apiVersion} is not known here`];
  const [folder, prefix] = GROUPS[item.apiVersion];
  const file = join(resolve(modules), "@kubernetes-models", folder, "_schemas", `${prefix}${item.kind}.js`);
  if (!existsSync(file)) return [`${item.apiVersion} has no ${item.kind}`];
  const { validate } = await import(pathToFileURL(file).href);
  const unread = new Set();
  const errors = validate(watched(item, "", unread)) ? [] : validate.errors;
  return [
    ...errors.map((error) => `${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`),
    ...[...unread].map((path) => `${path}: no such field`),
  ];
}

const [modules] = process.argv.slice(2);
for (const item of JSON.parse(readFileSync(0, "utf8"))) {
  for (const finding of await findings(item, modules)) {
    console.log(`${item.kind}/${item.metadata.name}: ${finding}`);
  }
}
