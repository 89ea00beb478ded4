// SPDX-License-Identifier: Apache-2.0
// Run with: node --test handler_test.js
"use strict";

const assert = require("node:assert");
const test = require("node:test");
const handle = require("./handler.js");

test("answers in capitals", async () => {
  assert.strictEqual(await handle(Buffer.from("hello")), "HELLO");
});

test("takes an empty body", async () => {
  assert.strictEqual(await handle(Buffer.from("")), "");
});
