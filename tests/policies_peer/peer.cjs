// Answers one JSON line for each on standard input: what @cloud-copilot/iam-simulate decides.
// Run with the folder that holds node_modules as its argument.
"use strict";
const path = require("node:path");
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");

const scope = path.join(process.argv[2], "node_modules", "@cloud-copilot");
const inside = (file) => require(path.join(scope, "iam-simulate", "dist", "cjs", file));
const { loadPolicy } = createRequire(path.join(scope, "iam-simulate", "package.json"))(
  "@cloud-copilot/iam-policy",
);
const { authorize } = inside("core_engine/CoreSimulatorEngine.js");
const { AwsRequestImpl } = inside("request/request.js");
const { RequestContextImpl } = inside("requestContext.js");
const { DiscoveryContextKeyConstraints } = inside(
  "context_keys/discoveryContextKeyConstraints.js",
);

const ALLOW_ALL = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
};
const loaded = (documents) =>
  documents.map((document, index) => loadPolicy(document, { name: String(index) }));
const guarding = (level, documents) =>
  documents.length ? [{ orgIdentifier: level, policies: loaded(documents) }] : [];

function decide(asked) {
  const { account, project, key } = asked.policies;
  const request = new AwsRequestImpl(
    asked.principal,
    { resource: asked.resource, accountId: asked.account },
    asked.action,
    new RequestContextImpl(asked.facts),
    asked.resource === "*", // an action that is done to no resource
  );
  return authorize({
    request,
    sessionPolicy: undefined,
    // A key without policies of its own may do what its role may: here, everything.
    identityPolicies: loaded(key.length ? key : [ALLOW_ALL]),
    serviceControlPolicies: [...guarding("account", account), ...guarding("project", project)],
    resourceControlPolicies: [],
    resourcePolicy: undefined,
    permissionBoundaries: undefined,
    vpcEndpointPolicies: undefined,
    simulationParameters: {
      simulationMode: "Strict",
      discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]),
    },
    serviceSettings: { s3: {} },
  }).result;
}

createInterface({ input: process.stdin }).on("line", (line) => {
  let answer;
  try {
    answer = decide(JSON.parse(line));
  } catch (error) {
    answer = "failed: " + error.message;
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
