// An edge node of Sparkplug B, by the npm package sparkplug-client. Data comes as lines of JSON on standard input:
// {"device": "pump-1", "metrics": [...]}, {"device_death": "pump-1"}, {"birth": true}, {"stop": true}.
"use strict";
const readline = require("readline");
const { newClient } = require("sparkplug-client");

const [serverUrl, username, password, groupId, edgeNode, devices] = process.argv.slice(2);
const client = newClient({
  serverUrl, username, password, groupId, edgeNode,
  clientId: `edge-${edgeNode}`, version: "spBv1.0", publishDeath: false, keepalive: 5,
});
const births = () => {
  client.publishNodeBirth({
    timestamp: Date.now(),
    metrics: [
      { name: "Node Control/Rebirth", type: "Boolean", value: false },
      { name: "load", alias: 1, type: "Double", value: 0.5 },
    ],
  });
  for (const [device, birth] of Object.entries(JSON.parse(devices))) {
    client.publishDeviceBirth(device, { timestamp: Date.now(), metrics: birth });
  }
};
client.on("birth", () => { births(); console.log("born"); });
client.on("ncmd", (payload) => {
  const asked = payload.metrics.some((metric) => metric.name === "Node Control/Rebirth" && metric.value === true);
  console.log(`ncmd ${asked}`);
  if (asked) births();
});
client.on("error", (error) => console.log(`error ${error}`));
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if (order.stop) client.stop();
  else if (order.birth) births();
  else if (order.device_death) client.publishDeviceDeath(order.device_death, { timestamp: Date.now() });
  else client.publishDeviceData(order.device, { timestamp: Date.now(), metrics: order.metrics });
});
