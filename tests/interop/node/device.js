// A device by the npm package mqtt: subscribes to one filter, publishes one message to a topic that matches, and says what
// it saw as one line of JSON. Options are those of the package, as JSON; files of certificates are given by name.
const fs = require("fs");
const mqtt = require("mqtt");

const [url, text, filter, topic] = process.argv.slice(2);
const options = JSON.parse(text);
for (const file of ["ca", "cert", "key"]) {
  options[file] = fs.readFileSync(options[file]);
}
const seen = { refused: [] };
const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10000, ...options });
const end = (code) => {
  console.log(JSON.stringify(seen));
  client.end(false, {}, () => process.exit(code));
};
client.on("error", (error) => {
  seen.error = String(error);
  seen.code = error.code;
  end(1);
});
client.on("connect", (answer) => {
  seen.properties = answer.properties;
  client.subscribe([filter, "plant/other/#"], { qos: 1 }, (error, granted) => {
    // A filter that is refused is an error in its own words; the others stand.
    seen.subscribed = error ? String(error) : granted.map((one) => one.qos);
    client.publish(topic, "9.5", { qos: 1, properties: { contentType: "text/plain" } }, (failed) => {
      seen.published = failed ? String(failed) : "acknowledged";
    });
  });
});
client.on("message", (at, payload) => {
  seen.message = [at, payload.toString()];
  setTimeout(() => end(0), 300);
});
setTimeout(() => end(2), 15000).unref();
