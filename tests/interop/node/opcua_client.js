// A client of OPC UA, by the npm package node-opcua-client: reads what is below a point, tries to write, follows, and says all
// of it as lines of JSON until its standard input ends.
"use strict";
const {
  AttributeIds, BrowseDirection, ClientMonitoredItem, ClientSubscription, DataType, MessageSecurityMode, OPCUAClient,
  SecurityPolicy, TimestampsToReturn, UserTokenType,
} = require("node-opcua-client");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

const [url, rootFolder, certificateFile, privateKeyFile, userName, password, point] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));

async function main() {
  const certificates = new OPCUACertificateManager({ rootFolder, automaticallyAcceptUnknownCertificate: true });
  await certificates.initialize();
  const client = OPCUAClient.create({
    applicationName: "node", applicationUri: "urn:test:node", endpointMustExist: false, clientCertificateManager: certificates,
    securityMode: MessageSecurityMode.SignAndEncrypt, securityPolicy: SecurityPolicy.Aes256_Sha256_RsaPss,
    certificateFile, privateKeyFile, connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 200 },
  });
  await client.connect(url);
  const session = await client.createSession({ type: UserTokenType.UserName, userName, password });
  const index = (await session.readNamespaceArray()).indexOf("urn:verge:verdicts");
  const id = (path) => `ns=${index};s=${path}`;
  const { references } = await session.browse({
    nodeId: id(point), referenceTypeId: "HasComponent", browseDirection: BrowseDirection.Forward, includeSubtypes: true, resultMask: 63,
  });
  say({ browsed: references.map((reference) => reference.browseName.name) });
  const read = await session.read(references.map(({ nodeId }) => ({ nodeId, attributeId: AttributeIds.Value })));
  say({ read: Object.fromEntries(references.map(({ browseName }, place) => [browseName.name, read[place].value.value])) });
  const missing = await session.read({ nodeId: id(`${point}/nothing`), attributeId: AttributeIds.Value });
  const value = { value: { dataType: DataType.Double, value: 1 } };
  const written = await session.write({ nodeId: id(`${point}/observed`), attributeId: AttributeIds.Value, value });
  say({ missing: missing.statusCode.name, written: written.name });
  const subscription = ClientSubscription.create(session, {
    requestedPublishingInterval: 50, requestedLifetimeCount: 200, requestedMaxKeepAliveCount: 20,
    maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1,
  });
  for (const name of ["active", "observed"]) {
    ClientMonitoredItem.create(
      subscription, { nodeId: id(`${point}/${name}`), attributeId: AttributeIds.Value },
      { samplingInterval: 0, queueSize: 50, discardOldest: true }, TimestampsToReturn.Both,
    ).on("changed", (data) => say({ name, value: data.value.value, status: data.statusCode.name, source: data.sourceTimestamp }));
  }
  process.stdin.resume().on("end", async () => {
    await subscription.terminate();
    await session.close();
    await client.disconnect();
    say({ ended: true });
    process.exit(0);
  });
}

main().catch((error) => {
  say({ error: error.message });
  process.exit(1);
});
