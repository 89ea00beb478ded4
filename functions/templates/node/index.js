// SPDX-License-Identifier: Apache-2.0
// Runs handler.js for one request: body on standard input, answer on standard output.
"use strict";

const handle = require("./handler.js");

async function main() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  process.stdout.write(await handle(Buffer.concat(pieces)));
}

main().catch((problem) => {
  console.error(problem);
  process.exitCode = 1;
});
