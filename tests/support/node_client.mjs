// A client on Node's http2: makes as many calls at a time as it is told and prints what each came to, as one JSON document.
// Sizes for the table of header blocks, if there are any: the first is told at once, and for each other all calls are made again.
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

const [url, path, file, count, first, ...others] = process.argv.slice(2);
const body = readFileSync(file);
const session = connect(url, first === undefined ? {} : { settings: { headerTableSize: Number(first) } });

function call() {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
    const said = { headers: {}, trailers: {}, data: "" };
    const pieces = [];
    stream.on("response", (headers) => (said.headers = headers));
    stream.on("trailers", (trailers) => (said.trailers = trailers));
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => resolve({ ...said, data: Buffer.concat(pieces).toString("hex") }));
    stream.on("error", reject);
    stream.end(body);
  });
}

session.on("error", (error) => { throw error; });
const callAll = () => Promise.all(Array.from({ length: Number(count) }, call));
const calls = await callAll();
for (const size of others) {
  session.settings({ headerTableSize: Number(size) });
  calls.push(...(await callAll()));
}
await new Promise((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())));
session.close();
console.log(JSON.stringify(calls));
