// SPDX-License-Identifier: Apache-2.0
"use strict";

// The function: answers the body (a Buffer) of a request with a string or a Buffer. An exception is an answer
// with status 500. The head of the request is in process.env: Http_Method, Http_Path, ...
module.exports = async function handle(body) {
  return body.toString().toUpperCase();
};
