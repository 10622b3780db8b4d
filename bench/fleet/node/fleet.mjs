// What the Node processes of the benchmark share: one JSON object a line in and out, and clients of Redis.

import { createInterface } from "node:readline";
import { createClient } from "redis";

export const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

// Answers each line by what `operations[line.op]` returns, and ends with its input.
export function obey(operations) {
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  lines.on("line", async (line) => {
    const { op, ...options } = JSON.parse(line);
    say((await operations[op](options)) ?? {});
  });
  lines.on("close", () => process.exit(0));
}

export async function connected(client) {
  client.on("error", (error) => process.stderr.write(`Redis: ${error.message}\n`));
  await client.connect();
  return client;
}

export const redis = (url) => connected(createClient({ url }));
